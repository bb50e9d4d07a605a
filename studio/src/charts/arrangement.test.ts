import fc from "fast-check";
import { expect, test } from "vitest";
import { duplicate, freeId, linesOf, move, put, remove, resize, type Charts } from "./arrangement";

const of = (...ids: string[]): Charts => ids.map((id) => linesOf(id, [id]));
const ids = (charts: Charts) => charts.map(({ id }) => id).join("");

test("a chart is moved to a place, and no further than the ends", () => {
  expect(ids(move(of("a", "b", "c"), "a", 1))).toBe("bac");
  expect(ids(move(of("a", "b", "c"), "c", -5))).toBe("cab");
  expect(ids(move(of("a", "b", "c"), "a", 9))).toBe("bca");
  expect(ids(move(of("a", "b"), "x", 0))).toBe("ab");
});

test("moving loses no chart and keeps the order of the others", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1 }), fc.nat(), fc.integer(), (names, which, to) => {
      const id = names[which % names.length]!;
      const found = move(of(...names), id, to).map((one) => one.id);
      expect(found.filter((one) => one !== id)).toEqual(names.filter((one) => one !== id));
      expect(found).toHaveLength(names.length);
    }),
  );
});

test("a copy stands behind its original with an id of its own", () => {
  const found = duplicate(of("a", "c3"), "a");
  expect(found[1]).toMatchObject({ metrics: ["a"] });
  expect(new Set(found.map(({ id }) => id)).size).toBe(3);
  expect(ids(found).startsWith("a") && ids(found).endsWith("c3")).toBe(true);
});

test("a chart is put in the place of the one with its id, or at the end", () => {
  expect(put(of("a", "b"), linesOf("a", ["loss"]))[0]).toMatchObject({ metrics: ["loss"] });
  expect(ids(put(of("a"), linesOf("b", [])))).toBe("ab");
  expect(ids(remove(of("a", "b"), "a"))).toBe("b");
  expect(resize(of("a"), "a", "large")[0]).toMatchObject({ size: "large" });
  expect(of("c1", "c2", "c3").map(({ id }) => id)).not.toContain(freeId(of("c1", "c2", "c3")));
});

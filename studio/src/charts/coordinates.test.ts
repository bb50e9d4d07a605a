import fc from "fast-check";
import { expect, test } from "vitest";
import { compare, grouped, passes, scaleOf, valueOf } from "./coordinates";

test("parameters are numbers where they look like such", () => {
  expect(["1e-3", " 7 ", "adam", "", "NaN", "0x10"].map(valueOf)).toEqual([0.001, 7, "adam", "", "NaN", 16]);
  expect([valueOf(undefined), valueOf(NaN), valueOf(2)]).toEqual([null, null, 2]);
});

test("numbers stand from the least at the foot to the greatest at the top", () => {
  const scale = scaleOf("layers", [2, 4, 3, null]);
  expect([2, 3, 4].map(scale.at)).toEqual([0, 0.5, 1]);
  expect(scale.at(null)).toBeNull();
  expect(scale.ticks.map(({ label }) => label)).toEqual(["2", "3", "4"]);
});

test("numbers over several powers of ten stand by their logarithm", () => {
  const scale = scaleOf("rate", [1e-5, 1e-3, 1e-1]);
  expect(scale.isLog).toBe(true);
  expect(scale.at(1e-3)).toBeCloseTo(0.5);
  expect([5e-324, 1].map(scaleOf("tiny", [5e-324, 1]).at)).toEqual([0, 1]);
});

test("one value stands in the middle, and where any is a word all are", () => {
  expect(scaleOf("seed", [7, 7]).at(7)).toBe(0.5);
  const scale = scaleOf("depth", [10, 9, "auto"]);
  expect(scale.ticks.map(({ label }) => label)).toEqual(["9", "10", "auto"]);
  expect([9, 10, "auto"].map(scale.at)).toEqual([0, 0.5, 1]);
});

test("every value that there is has a place on its axis", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 }), fc.string()), { minLength: 1 }), (values) => {
      const scale = scaleOf("x", values);
      for (const value of values) {
        const at = scale.at(value);
        expect(at).not.toBeNull();
        expect(at!).toBeGreaterThanOrEqual(-1e-9);
        expect(at!).toBeLessThanOrEqual(1 + 1e-9);
      }
    }),
  );
});

test("a run passes when it lies within all brushes; one without a value does not", () => {
  expect(passes({ a: 0.5, b: 0.1 }, { a: [0.4, 0.6] })).toBe(true);
  expect(passes({ a: 0.5, b: 0.1 }, { a: [0.4, 0.6], b: [0.5, 1] })).toBe(false);
  expect(passes({ a: null }, { a: [0, 1] })).toBe(false);
  expect(passes({ a: null }, {})).toBe(true);
});

test("groups are means in the order of their names; numbers come by size", () => {
  const found = grouped([["10", 4], ["9", 1], ["10", 2], ["x", null], ["a", NaN]]);
  expect(found).toEqual([{ name: "9", value: 1, count: 1 }, { name: "10", value: 3, count: 2 }]);
  expect(["b", "10", "a", "9"].sort(compare)).toEqual(["9", "10", "a", "b"]);
});

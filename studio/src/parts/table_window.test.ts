import fc from "fast-check";
import { expect, test } from "vitest";
import { OVERSCAN, rowsIn } from "./table_window";

const room = fc.record({ first: fc.nat(200_000), count: fc.integer({ min: 1, max: 100 }) });

test("the rows that the box has room for are in the page, in their order, each in a place of its own", () => {
  fc.assert(
    fc.property(room, fc.nat(100_000), (where, count) => {
      const { seen, slotOf } = rowsIn(where, count);
      const first = Math.max(0, Math.min(where.first, count - where.count));
      for (let row = first; row < Math.min(count, first + where.count); row += 1) expect(seen).toContain(row);
      expect(seen).toEqual(seen.toSorted((one, other) => one - other));
      expect(new Set(seen.map(slotOf)).size).toBe(seen.length);
      expect(seen.length).toBeLessThanOrEqual(where.count + 2 * OVERSCAN);
      for (const row of seen) expect(row < count && row >= 0).toBe(true);
    }),
  );
});

test("rows keep their places while the table is scrolled", () => {
  const [before, after] = [rowsIn({ first: 100, count: 20 }, 1000), rowsIn({ first: 103, count: 20 }, 1000)];
  for (const row of before.seen) expect(after.slotOf(row)).toBe(before.slotOf(row));
});

test("nothing is in the page before the box is known", () => {
  expect(rowsIn({ first: 0, count: 0 }, 1000).seen).toEqual([]);
});

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { HEAD_ROW, moved, reordered } from "./table_keys";

const EXTENT = { rows: 100_000, columns: 8, page: 20 };

test("arrows step, and stay within the table", () => {
  expect(moved({ row: 0, column: 0 }, "ArrowUp", false, EXTENT)).toEqual({ row: HEAD_ROW, column: 0 });
  expect(moved({ row: HEAD_ROW, column: 0 }, "ArrowUp", false, EXTENT)).toEqual({ row: HEAD_ROW, column: 0 });
  expect(moved({ row: 5, column: 7 }, "ArrowRight", false, EXTENT)).toEqual({ row: 5, column: 7 });
});

test("Control and End lead to the last cell at once", () => {
  expect(moved({ row: 3, column: 1 }, "End", true, EXTENT)).toEqual({ row: 99_999, column: 7 });
  expect(moved({ row: 3, column: 1 }, "Home", true, EXTENT)).toEqual({ row: 0, column: 0 });
});

test("no key leads out of a table of any size", () => {
  const keys = fc.constantFrom("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End");
  fc.assert(
    fc.property(keys, fc.boolean(), fc.nat(50), fc.integer({ min: 1, max: 9 }), fc.nat(49), (key, isFar, rows, columns, row) => {
      const to = moved({ row: Math.min(row, rows - 1), column: 0 }, key, isFar, { rows, columns, page: 7 });
      if (!to) return;
      expect(to.row).toBeGreaterThanOrEqual(HEAD_ROW);
      expect(to.row).toBeLessThan(Math.max(rows, 1));
      expect(to.column).toBeGreaterThanOrEqual(0);
      expect(to.column).toBeLessThan(columns);
    }),
  );
});

test("an entry that is moved leaves the others in their order", () => {
  expect(reordered(["a", "b", "c", "d"], 0, 2)).toEqual(["b", "c", "a", "d"]);
  expect(reordered(["a", "b", "c", "d"], 3, 1)).toEqual(["a", "d", "b", "c"]);
});

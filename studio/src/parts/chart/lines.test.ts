import fc from "fast-check";
import { expect, test } from "vitest";
import { align, ascending, inOrder, nearest, type Line } from "./lines";
import { opened, rangeOfX, rangeOfY, zoomed } from "./ranges";
import { neighbour, readingsAt, rowsOf, summary } from "./reading";

const line = (key: string, xs: number[], ys: (number | null)[]): Line => ({ key, label: key, xs, ys });

test("lines over different x share one, without what others have", () => {
  const found = align([line("a", [0, 2], [1, 2]), line("b", [1, 2], [3, null])], false, false);
  expect(found.xs).toEqual([0, 1, 2]);
  expect(found.main).toEqual([[1, undefined, 2], [undefined, 3, null]]);
});

test("NaN and the infinities are gaps, and so is what a logarithm does not have", () => {
  expect(align([line("a", [0, 1, 2, 3], [NaN, Infinity, 0, 1])], false, true).main).toEqual([[null, null, null, 1]]);
  expect(align([line("a", [-1, 0, 1], [1, 2, 3])], true, false).xs).toEqual([1]);
});

test("a line that runs backwards starts anew", () => {
  expect(ascending([0, 1, 2, 1, 2])).toEqual([[0, 3], [3, 5]]);
  const found = align([line("a", [0, 1, 2, 1, 2], [0, 1, 2, 8, 9])], false, false);
  expect(found.main).toEqual([[0, 1, 2], [undefined, 8, 9]]);
  expect(ascending([])).toEqual([]);
});

test("one that turns back again and again is drawn in the order of x", () => {
  const xs = Array.from({ length: 40 }, (_, at) => (at * 27) % 40);
  expect(inOrder([line("a", xs, xs)])[0]!.xs).toEqual([...xs].sort((a, b) => a - b));
});

test("no point is lost by bringing lines together", () => {
  const points = fc.uniqueArray(fc.integer({ min: 0, max: 50 })).map((xs) => [...xs].sort((a, b) => a - b));
  fc.assert(
    fc.property(points, points, (a, b) => {
      const { xs, main, stretches } = align([line("a", a, a), line("b", b, b)], false, false);
      stretches.forEach((stretch, place) => {
        const drawn = xs.filter((_, at) => main[place]![at] !== undefined);
        expect(drawn).toEqual(stretch.line ? b : a);
      });
    }),
  );
});

test("the nearest point is the resumed line's where both have one", () => {
  const resumed = line("a", [0, 1, 2, 1, 2], [0, 1, 2, 8, 9]);
  expect(nearest(resumed, 1.2, 0)).toBe(3);
  expect(nearest(resumed, 0.2, 0)).toBe(0);
  expect(nearest(resumed, 9, 1)).toBeUndefined();
});

test("the values at a place come greatest first, NaN last, without those that are hidden", () => {
  const lines = [line("low", [0, 1], [0, 1]), line("nan", [0, 1], [0, NaN]), line("high", [0, 1], [5, 6]), line("hidden", [0, 1], [9, 9])];
  expect(readingsAt(lines, new Set(["hidden"]), 1, [0, 1]).map(({ line: { key } }) => key)).toEqual(["high", "low", "nan"]);
});

test("ranges have room, and a length where there is one point or none", () => {
  expect(rangeOfX([line("a", [7], [1])], false)).toEqual([6.65, 7.35]);
  expect(rangeOfX([], false)).toEqual([0, 1]);
  expect(opened(0, 0, false)).toEqual([-0.5, 0.5]);
  const [from, to] = rangeOfY([line("a", [0, 1, 2], [0, 10, 1000])], [0, 1], false);
  expect(from).toBeLessThan(0);
  expect(to).toBeGreaterThan(10);
  expect(to).toBeLessThan(12);
});

test("a range is what is asked for, also where only one end is, or where nothing lies in it", () => {
  const lines = [line("a", [0, 10], [0, 10])];
  expect(rangeOfY(lines, [0, 10], false, [2, 4])).toEqual([2, 4]);
  expect(rangeOfX(lines, false, [null, 5])).toEqual([0, 5]);
  expect(rangeOfX(lines, false, [20, null])).toEqual([20, 21]);
  expect(rangeOfX(lines, true, [-5, null])[0]).toBeGreaterThan(0);
});

test("zooming keeps what is in its centre there", () => {
  expect(zoomed([0, 10], 5, 0.5, false)).toEqual([2.5, 7.5]);
  const [from, to] = zoomed([1, 100], 10, 0.5, true);
  expect(from * to).toBeCloseTo(100);
});

test("the cursor goes from point to point and stops at the ends", () => {
  expect(neighbour([0, 5, 9], null, 1, [0, 9])).toBe(0);
  expect(neighbour([0, 5, 9], 5, 1, [0, 9])).toBe(9);
  expect(neighbour([0, 5, 9], 9, 10, [0, 9])).toBe(9);
  expect(neighbour([0, 5, 9], 9, -Infinity, [1, 9])).toBe(5);
  expect([1, -1, Infinity, -Infinity].map((by) => neighbour([0, 5, 9], null, by, [0, 9]))).toEqual([0, 9, 9, 0]);
  expect(neighbour([], null, 1, [0, 1])).toBeNull();
});

test("the table has a row for each x, evenly picked of many", () => {
  const many = Array.from({ length: 1000 }, (_, at) => at);
  const { rows, count } = rowsOf([line("a", many, many), line("b", [0], [7])], [0, 999]);
  expect(count).toBe(1000);
  expect(rows.length).toBeLessThan(350);
  expect(rows[0]).toEqual({ x: 0, ys: [0, 7] });
  expect(rows[rows.length - 1]!.x).toBe(999);
});

test("the summary tells each line's course", () => {
  expect(summary([line("loss", [0, 1], [3, 1])], [0, 1], String)).toBe("1 line from 0 to 1. loss: begins at 3, ends at 1, least 1, greatest 3.");
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { smoothed } from "./smoothing";

const steps = (count: number) => Array.from({ length: count }, (_, at) => at);

test("what never changes stays as it is, from the first value on", () => {
  for (const y of smoothed([4, 4, 4, 4], steps(4), 0.9)) expect(y).toBeCloseTo(4);
});

test("without weight the values are the values", () => {
  expect(smoothed([3, null, NaN, 1], steps(4), 0)).toEqual([3, null, NaN, 1]);
});

test("each value moves the average by its weight, and the first counts fully", () => {
  const [first, second] = smoothed([1, 0], steps(2), 0.5);
  expect(first).toBe(1);
  expect(second).toBeCloseTo(1 / 3);
});

test("gaps stay gaps and do not move the average", () => {
  const found = smoothed([1, NaN, null, Infinity, 1], steps(5), 0.9);
  expect(found.slice(1, 4)).toEqual([NaN, null, Infinity]);
  expect(found[4]).toBeCloseTo(1);
});

test("where steps run backwards it begins anew", () => {
  expect(smoothed([10, 10, 0], [0, 1, 0], 0.9)[2]).toBe(0);
});

test("the average lies between the least and the greatest value", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 }), fc.double({ min: 0, max: 0.99, noNaN: true }), (ys, weight) => {
      const [low, high] = [Math.min(...ys), Math.max(...ys)];
      for (const y of smoothed(ys, steps(ys.length), weight)) {
        expect(y).toBeGreaterThanOrEqual(low - 1e-6);
        expect(y).toBeLessThanOrEqual(high + 1e-6);
      }
    }),
  );
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { durationLabel, durationTicks, linearTicks, logTicks, numberLabel, timeTicks } from "./ticks";

test("marks stand at round numbers", () => {
  expect(linearTicks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(linearTicks(-3, 1000, 4)).toEqual([0, 500, 1000]);
  expect(linearTicks(0.1, 0.4, 3)).toEqual([0.1, 0.2, 0.3, 0.4]);
  expect(linearTicks(6.6, 7.4, 8, 1)).toEqual([7]);
  expect(linearTicks(1, 1, 5)).toEqual([]);
});

test("marks lie within their axis and are not too many", () => {
  fc.assert(
    fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.double({ min: 1e-3, max: 1e9, noNaN: true }), fc.integer({ min: 1, max: 20 }), (from, width, most) => {
      const found = linearTicks(from, from + width, most);
      expect(found.length).toBeLessThanOrEqual(most + 1);
      for (const value of found) {
        expect(value).toBeGreaterThanOrEqual(from - width * 1e-6);
        expect(value).toBeLessThanOrEqual(from + width + width * 1e-6);
      }
    }),
  );
});

test("logarithmic marks are powers of ten; within one decade they are even", () => {
  expect(logTicks(0.001, 10, 5)).toEqual([0.001, 0.01, 0.1, 1, 10]);
  expect(logTicks(1, 100, 8)).toEqual([1, 2, 5, 10, 20, 50, 100]);
  expect(logTicks(0.5, 0.6, 4).length).toBeGreaterThan(1);
  expect(logTicks(1e-30, 1e30, 6).length).toBeLessThanOrEqual(8);
});

test("durations are marked as people count time", () => {
  expect(durationTicks(0, 3600_000, 6).map(durationLabel)).toEqual(["0", "10:00", "20:00", "30:00", "40:00", "50:00", "1:00:00"]);
  expect(durationLabel(90_000)).toBe("1:30");
  expect(durationLabel(-1500)).toBe("−2 s");
});

test("times are marked at full hours of the reader's zone, days at midnight", () => {
  const from = new Date(2026, 4, 1, 9, 20).getTime();
  const hours = timeTicks(from, from + 6 * 3600_000, 6).map((at) => new Date(at));
  expect(hours.length).toBeGreaterThan(4);
  for (const hour of hours) expect(hour.getMinutes() + hour.getSeconds()).toBe(0);
  for (const day of timeTicks(from, from + 12 * 86_400_000, 6)) expect(new Date(day).getHours()).toBe(0);
});

test("long numbers are short", () => {
  expect([0, 1500, 20_000, 1_000_000, 2.5e12, 1e-7].map(numberLabel)).toEqual(["0", "1500", "20k", "1M", "2.5e12", "1e-7"]);
});

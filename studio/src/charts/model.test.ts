import fc from "fast-check";
import { expect, test } from "vitest";
import { defaults, linesOf } from "./arrangement";
import { packed, unpacked } from "./kept";
import { parseCharts, titleOf, type ChartSpec } from "./model";

const EVERY: ChartSpec[] = [
  { ...linesOf("a", ["loss", "größe ✓"]), smoothing: 0.5, isLogY: true, yLimits: [0, null], x: "time" },
  { id: "b", title: "Mine", size: "small", kind: "scatter", isLogX: true, isLogY: false, x: { from: "param", name: "lr" }, y: { from: "metric", name: "loss", value: "min" } },
  { id: "c", title: "", size: "large", kind: "parallel", axes: [{ from: "param", name: "lr" }, { from: "metric", name: "loss", value: "last" }] },
  { id: "d", title: "", size: "medium", kind: "bars", metric: "loss", value: "max", groupBy: "lr" },
];

test("charts come back as they were kept, also by a link", () => {
  expect(parseCharts(JSON.stringify(EVERY))).toEqual(EVERY);
  expect(unpacked(packed(EVERY))).toEqual(EVERY);
});

test("what is no chart is left out, and the others stay", () => {
  const text = JSON.stringify([null, 7, { kind: "pie", id: "x" }, { kind: "lines" }, EVERY[3], EVERY[3], { ...EVERY[0], smoothing: 7, size: "huge" }]);
  const found = parseCharts(text)!;
  expect(found.map(({ id }) => id)).toEqual(["d", "a"]);
  expect(found[1]).toMatchObject({ smoothing: 0.99, size: "medium" });
});

test("whatever is kept, reading it gives charts that can be kept again, or none", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json(), fc.array(fc.object({ key: fc.constantFrom("id", "kind", "x", "y", "metrics", "axes", "size") })).map((all) => JSON.stringify(all))), (text) => {
      const found = parseCharts(text);
      if (found) expect(parseCharts(JSON.stringify(found))).toEqual(found);
      unpacked(text);
    }),
  );
});

test("charts are called after what they show", () => {
  expect(EVERY.map(titleOf)).toEqual(["loss, größe ✓", "Mine", "Parameters and metrics", "loss (greatest) by lr"]);
});

test("who has made no charts sees losses and scores first, and how parameters bear on them", () => {
  const found = defaults(["zeal", "val_acc", "epoch_time", "train_loss"], ["lr"]);
  expect(found.map(titleOf)).toEqual(["train_loss", "val_acc", "epoch_time", "zeal", "Parameters and metrics"]);
  expect(new Set(found.map(({ id }) => id)).size).toBe(5);
  expect(defaults(["loss"], [])).toHaveLength(1);
  expect(defaults([], ["lr"])).toEqual([]);
});

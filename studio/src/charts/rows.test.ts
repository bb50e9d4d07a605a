import { expect, test } from "vitest";
import { sideBySide } from "./differences";
import { keyOf, labelsOf, metricsOf, tones } from "./rows";
import { columnsFor, numberOf, sampledNote } from "./series";

test("runs keep their colours when others come and go", () => {
  const before = tones(new Map(), ["a", "b", "c"]);
  expect([...tones(before, ["new", "c", "a"])].sort()).toEqual([["a", 0], ["c", 2], ["new", 1]]);
});

test("runs of one name are told apart by their ids", () => {
  const found = labelsOf([{ name: "x", run_id: "run-000001" }, { name: "x", run_id: "run-000002" }, { name: "", run_id: "r3" }]);
  expect([...found.values()]).toEqual(["x (000001)", "x (000002)", "r3"]);
});

test("a column that several charts need is asked for once", () => {
  const loss = { from: "metric", name: "loss", value: "min" } as const;
  const scatter = { id: "a", title: "", size: "small", kind: "scatter", isLogX: false, isLogY: false, x: { from: "param", name: "lr" }, y: loss } as const;
  expect(metricsOf([scatter, { ...scatter, id: "b" }, { id: "c", title: "", size: "small", kind: "bars", metric: "loss", value: "max", groupBy: "" }]).map(keyOf)).toEqual(['["loss","min"]', '["loss","max"]']);
});

test("what one run has and another has not is a difference", () => {
  const found = sideBySide([new Map([["lr", "1"], ["depth", "2"]]), new Map([["lr", "1"]])]);
  expect(found).toEqual([
    { name: "depth", values: ["2", null], isDifferent: true },
    { name: "lr", values: ["1", "1"], isDifferent: false },
  ]);
});

test("words for numbers are numbers, others are none", () => {
  expect(["NaN", "Infinity", "-Infinity", "x", true, 2].map(numberOf)).toEqual([NaN, Infinity, -Infinity, null, null, 2]);
});

test("few lines have a column for each pixel, many share", () => {
  expect([columnsFor(1200, 1), columnsFor(1200, 50), columnsFor(1200, 1000)]).toEqual([1200, 800, 200]);
  expect(sampledNote([])).toBe("");
});

import { expect, test } from "vitest";
import { areaBelow, binsOf, confusionOf, dataOf, normalised, precisionRecallOf, rocOf, type Counts } from "./documents";

const CONFUSION = confusionOf({ class_labels: ["cat", "dog"], matrix: [[3, 1], [0, 4]] });

test("a matrix is normalised by what is true, by what is predicted, or by all", () => {
  expect(normalised(CONFUSION, "none")).toEqual([[3, 1], [0, 4]]);
  expect(normalised(CONFUSION, "true")).toEqual([[0.75, 0.25], [0, 1]]);
  expect(normalised(CONFUSION, "predicted")).toEqual([[1, 0.2], [0, 0.8]]);
  expect(normalised(CONFUSION, "all")).toEqual([[0.375, 0.125], [0, 0.5]]);
});

test("a class that never occurs divides nothing by nothing", () => {
  expect(normalised(confusionOf({ class_labels: ["a"], matrix: [[0]] }), "true")).toEqual([[0]]);
});

const PERFECT: Counts[] = [[5, 5, 0, 0], [5, 0, 5, 0], [0, 0, 5, 5]];
const GUESSED: Counts[] = [[5, 5, 0, 0], [0, 0, 5, 5]];

test("the area below ROC is 1 where all is right, and a half where it is guessed", () => {
  expect(areaBelow(rocOf(PERFECT))).toBe(1);
  expect(areaBelow(rocOf(GUESSED))).toBe(0.5);
});

test("precision stands over recall from 0 on", () => {
  expect(precisionRecallOf(PERFECT)).toEqual([[0, 1], [1, 1], [1, 0.5]]);
  expect(precisionRecallOf([[0, 0, 5, 5]])).toEqual([]);
});

test("bins without a last edge get one as wide as the one before", () => {
  expect(binsOf({ bin_edges: [0, 2], bin_counts: [1, 2] }).edges).toEqual([0, 2, 4]);
});

test("a file that holds something else is told", () => {
  for (const document of [null, 7, [], { data: "x" }]) expect(() => dataOf(document)).toThrow("no such metric");
});

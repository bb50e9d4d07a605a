import { expect, test } from "vitest";
import { titleOf } from "./title";

test("a page is called by its address, the nearest first", () => {
  expect(titleOf([])).toBe("Runs · Runyard");
  expect(titleOf(["runs", "bert-7", "logs"])).toBe("logs · bert-7 · Runs · Runyard");
  expect(titleOf(["experiments", "an experiment"])).toBe("an experiment · Experiments · Runyard");
  expect(titleOf(["new"])).toBe("New run · Runyard");
});

test("who has not logged in is told only that", () => {
  expect(titleOf(["runs", "bert-7"], false)).toBe("Log in · Runyard");
});

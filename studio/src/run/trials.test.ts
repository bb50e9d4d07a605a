import { describe, expect, it } from "vitest";
import { ordered, paramNames, type Trial } from "./trials";

function trial(iteration: number, value: number | null, params: Record<string, string>): Trial {
  const rest = { name: "", kind: "child", status: "Completed", cause: "", created_ns: 0, started_ns: null, ended_ns: null } as const;
  return { ...rest, run_id: `r${iteration}`, iteration, value, best: value, params, duration_s: null };
}

const TRIALS = [trial(0, 0.5, { lr: "0.1", seed: "1" }), trial(1, null, { lr: "0.02", seed: "1" }), trial(2, 0.25, { lr: "1e-3", seed: "1", depth: "4" })];
const runs = (column: string, isAscending: boolean) => ordered(TRIALS, column, isAscending).map((one) => one.iteration);

describe("children", () => {
  it("are sorted by what they came to; those without come last either way", () => {
    expect(runs("value", true)).toEqual([2, 0, 1]);
    expect(runs("value", false)).toEqual([0, 2, 1]);
  });

  it("are sorted by a parameter as the number that it is", () => {
    expect(runs("params.lr", true)).toEqual([2, 1, 0]);
  });

  it("have the parameters in front that differ", () => {
    expect(paramNames(TRIALS)).toEqual(["depth", "lr", "seed"]);
  });
});

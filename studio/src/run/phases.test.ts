import { describe, expect, it } from "vitest";
import type { RunInFull, Transition } from "../api/run";
import { stepsOf } from "./phases";

const told = (...all: [Transition["status"], Transition["phase"], number][]) =>
  all.map(([status, phase, wall_ns]) => ({ status, phase, wall_ns }));

function run(more: Partial<RunInFull>): RunInFull {
  return { status: "Running", created_ns: 1, ended_ns: null, cluster: "", failure: null, is_client_run: false, transitions: [], ...more } as RunInFull;
}

const shown = (more: Partial<RunInFull>) => stepsOf(run(more)).map(({ name, from, to, state }) => [name, from, to, state]);

describe("the steps of a run", () => {
  it("follow each other, and what is still before it comes last", () => {
    const transitions = told(["Starting", "", 5], ["Preparing", "preparation", 7], ["Running", "driver", 9]);
    expect(shown({ transitions })).toEqual([
      ["Starting", 5, 7, "done"],
      ["Preparation", 7, 9, "done"],
      ["Driver", 9, null, "now"],
      ["Release", null, null, "later"],
    ]);
  });

  it("begin in the queue where it was put into one", () => {
    expect(shown({ status: "Queued", cluster: "lab" })[0]).toEqual(["Queued", 1, null, "now"]);
    const transitions = told(["Starting", "", 5]);
    expect(shown({ status: "Starting", cluster: "lab", transitions }).slice(0, 2)).toEqual([
      ["Queued", 1, 5, "done"],
      ["Starting", 5, null, "now"],
    ]);
  });

  it("show the phase that failed, though others came after it", () => {
    const transitions = told(["Running", "driver", 5], ["Finalizing", "release", 8], ["Failed", "release", 9]);
    const failure = { phase: "driver" as const, cause: "rank 3: exit code 1", log: null, start: null, end: null };
    expect(shown({ status: "Failed", ended_ns: 9, transitions, failure })).toEqual([
      ["Driver", 5, 8, "failed"],
      ["Release", 8, 9, "done"],
    ]);
  });

  it("are one where a client tells of a run", () => {
    expect(shown({ is_client_run: true })).toEqual([["Running", 1, null, "now"]]);
  });
});

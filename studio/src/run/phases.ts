// The steps that a run has gone through, made of its transitions. Pure.

import type { Phase, RunInFull, Transition } from "../api/run";
import type { RunStatus } from "../api/types";

export interface Step {
  readonly key: string;
  readonly name: string;
  /** Null: not reached yet. */
  readonly from: number | null;
  /** Null: not over yet, or not reached. */
  readonly to: number | null;
  readonly state: "done" | "now" | "failed" | "later";
}

const NAMES: Readonly<Record<string, string>> = {
  queued: "Queued",
  starting: "Starting",
  image: "Image",
  execution: "Environment",
  preparation: "Preparation",
  rendezvous: "Nodes meet",
  running: "Running",
  driver: "Driver",
  finalizing: "Finalizing",
  release: "Release",
};
const OF_STATUS: Partial<Record<RunStatus, string>> = {
  NotStarted: "queued",
  Queued: "queued",
  Starting: "starting",
  Provisioning: "starting",
  Preparing: "preparation",
  Running: "running",
  Finalizing: "finalizing",
};
const FINAL: ReadonlySet<string> = new Set(["Completed", "Failed", "Canceled"]);
const LATER = ["driver", "release"];

/** In the order in which they came; those that a run of this kind has still before it at the end. */
export function stepsOf(run: RunInFull): Step[] {
  const reached = spans(run);
  const steps = reached.map(({ key, from, to }, index): Step => {
    const isLast = index === reached.length - 1;
    const isOpen = to === null;
    const hasFailed = run.status === "Failed" && (run.failure ? run.failure.phase === key && isLastOf(reached, index) : isLast);
    return { key: `${index}-${key}`, name: NAMES[key] ?? key, from, to, state: hasFailed ? "failed" : isOpen ? "now" : "done" };
  });
  return FINAL.has(run.status) || run.is_client_run ? steps : [...steps, ...later(reached)];
}

interface Reached {
  readonly key: string;
  readonly from: number;
  to: number | null;
}

function spans(run: RunInFull): Reached[] {
  const reached: Reached[] = [];
  for (const one of beginning(run).concat(run.transitions)) {
    const last = reached.at(-1);
    const key = keyOf(one, last?.key);
    if (last && last.key === key) continue;
    if (last) last.to = one.wall_ns;
    if (key) reached.push({ key, from: one.wall_ns, to: null });
  }
  const last = reached.at(-1);
  if (last && FINAL.has(run.status)) last.to ??= run.ended_ns;
  return reached;
}

/** Before its first word a run of a queue has waited there; of a run that no node has, that is all there is. */
function beginning(run: RunInFull): Transition[] {
  const first = run.transitions[0];
  if (first && (!run.cluster || first.wall_ns <= run.created_ns)) return [];
  const status = run.cluster ? "Queued" : FINAL.has(run.status) ? "Running" : run.status;
  return [{ status, phase: "", wall_ns: run.created_ns }];
}

function keyOf({ status, phase }: { status: RunStatus; phase: Phase }, before: string | undefined): string {
  if (FINAL.has(status)) return "";
  if (phase) return phase;
  return OF_STATUS[status] ?? before ?? "starting";
}

function isLastOf(reached: readonly Reached[], index: number): boolean {
  return reached.findLastIndex((one) => one.key === reached[index]?.key) === index;
}

function later(reached: readonly Reached[]): Step[] {
  const last = reached.at(-1)?.key ?? "";
  const after = last === "release" || last === "finalizing" ? [] : last === "driver" || last === "running" ? LATER.slice(1) : LATER;
  return after.map((key) => ({ key: `later-${key}`, name: NAMES[key] ?? key, from: null, to: null, state: "later" }));
}

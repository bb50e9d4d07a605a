// The processes of a run as rows: filtered, in order, and the same objects as long as they say the same. Pure.

import { filePath, type NodeOfRun, type ProcessOfRun, type RunInFull } from "../api/run";

export interface ProcessRow {
  readonly process: ProcessOfRun;
  readonly node: NodeOfRun | undefined;
  /** Path of its log among the run's files; empty where it has none. */
  readonly log: string;
  readonly state: State;
  /** By which rows are told apart from what they were. */
  readonly text: string;
}

export type State = "stalled" | "running" | "failed" | "ended" | "completed";
export const STATES: Readonly<Record<State, string>> = {
  stalled: "Stalled",
  running: "Running",
  failed: "Failed",
  ended: "Ended by others",
  completed: "Completed",
};

export interface Wanted {
  readonly state: string;
  readonly node: string;
  readonly sort: string;
  readonly isAscending: boolean;
}

const OF_STATUS: Readonly<Record<ProcessOfRun["status"], State>> = {
  Started: "running",
  Completed: "completed",
  Failed: "failed",
  Terminated: "ended",
};

export function stateOf(process: ProcessOfRun): State {
  return process.status === "Started" && process.progress?.is_stalled ? "stalled" : OF_STATUS[process.status];
}

/** All rows by rank; those of `before` where nothing has changed. */
export function rowsOf(run: RunInFull, before: ReadonlyMap<number, ProcessRow>): Map<number, ProcessRow> {
  const nodes = new Map(run.nodes.map((node) => [node.node_id, node]));
  return new Map(
    run.processes.map((process) => {
      const node = nodes.get(process.node_id);
      const text = JSON.stringify(process) + (node ? `${node.ip} ${node.folder} ${node.attempt}` : "");
      const known = before.get(process.rank);
      if (known?.text === text) return [process.rank, known];
      const log = process.log && node ? filePath(run, node, process.log) : "";
      return [process.rank, { process, node, log, state: stateOf(process), text }];
    }),
  );
}

type Key = number | string | null;

const KEYS: Readonly<Record<string, (row: ProcessRow) => Key>> = {
  rank: ({ process }) => process.rank,
  node: ({ node }) => node?.ip ?? null,
  state: ({ state }) => Object.keys(STATES).indexOf(state),
  exit: ({ process }) => (process.signal !== null ? 1000 + process.signal : process.exit_code),
  started: ({ process }) => process.started_ns,
  took: ({ process }) => (process.started_ns === null ? null : (process.ended_ns ?? Infinity) - process.started_ns),
  step: ({ process }) => process.progress?.step ?? null,
  rate: ({ process }) => process.progress?.rate_per_s ?? null,
  eta: ({ process }) => process.progress?.eta_s ?? null,
  output: ({ process }) => process.progress?.last_output_ns ?? null,
  stalls: ({ process }) => process.progress?.stalls ?? null,
};
export const SORTABLE: ReadonlySet<string> = new Set(Object.keys(KEYS));

/** Those that are wanted, in the order that is wanted; what has no value comes last in either direction. */
export function chosen(rows: Iterable<ProcessRow>, wanted: Wanted): ProcessRow[] {
  const key = KEYS[wanted.sort] ?? KEYS["rank"]!;
  const sign = wanted.isAscending ? 1 : -1;
  return [...rows]
    .filter((row) => !wanted.state || row.state === wanted.state)
    .filter((row) => !wanted.node || row.process.node_id === wanted.node)
    .sort((one, other) => compare(key(one), key(other), sign) || one.process.rank - other.process.rank);
}

function compare(one: Key, other: Key, sign: number): number {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  if (typeof one === "string" || typeof other === "string") {
    return sign * String(one).localeCompare(String(other), undefined, { numeric: true });
  }
  return one === other ? 0 : sign * (one < other ? -1 : 1);
}

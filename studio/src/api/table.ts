// The table of runs: POST /runs/query, the names that its filters and columns may be about, and the experiments.

import { get, send } from "./client";
import type { RunStatus } from "./types";

export type MetricValue = "last" | "min" | "max" | "first" | "mean";

/** A row of the table; `metrics` in the order that was asked for. */
export interface TableRun {
  readonly run_id: string;
  readonly experiment: string;
  readonly name: string;
  readonly status: RunStatus;
  readonly user: string;
  readonly kind: string;
  readonly number: number;
  readonly parent_run_id: string | null;
  readonly cause: string;
  readonly created_ns: number;
  readonly started_ns: number | null;
  readonly ended_ns: number | null;
  readonly best_run_id: string | null;
  readonly best_value: number | null;
  readonly metrics: readonly (number | string | boolean | null)[];
  readonly params: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly cluster: string;
  readonly phase: string;
  readonly hostname: string;
  readonly node_count: number;
  readonly world_size: number;
  readonly is_pinned: boolean;
  readonly deleted_ms: number | null;
  readonly child_count: number;
}

export interface MetricColumn {
  readonly name: string;
  readonly value: MetricValue;
}

/** Which runs are asked for, in which order, with which columns. */
export interface TableQuery {
  readonly filter: string;
  readonly order_by: readonly string[];
  readonly metrics: readonly MetricColumn[];
  readonly params: readonly string[];
  readonly tags: readonly string[];
  readonly include_deleted: boolean;
  readonly experiment?: string;
}

export interface TablePart {
  readonly runs: readonly TableRun[];
  readonly total: number;
}

/** Rows [offset, offset + count) of the table; of a parent: its children, whatever the filter says. */
export function queryRuns(
  query: TableQuery,
  parent: string | null,
  offset: number,
  count: number,
  signal: AbortSignal,
): Promise<TablePart> {
  const about = parent === null ? {} : { parent, filter: "" };
  return send("POST", "/runs/query", { ...query, ...about, offset, page_size: count, with_total: true }, signal);
}

export interface KnownNames {
  readonly metrics: readonly string[];
  readonly params: Readonly<Record<string, readonly string[]>>;
  readonly tags: Readonly<Record<string, readonly string[]>>;
  readonly users: readonly string[];
  readonly kinds: readonly string[];
  readonly clusters: readonly string[];
  readonly nodes: readonly string[];
}

/** What the newest runs have, of one experiment or of all. */
export function knownNames(experiment: string | undefined, signal?: AbortSignal): Promise<KnownNames> {
  return get("/known-names", { experiment }, signal);
}

export interface Experiment {
  readonly experiment_id: number;
  readonly name: string;
  readonly created_ms: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly run_count: number;
  readonly statuses: Readonly<Partial<Record<RunStatus, number>>>;
  readonly newest_ns: number | null;
}

/** All experiments, in the order in which they were made. */
export async function listExperiments(signal?: AbortSignal): Promise<readonly Experiment[]> {
  const found: Experiment[] = [];
  let token: string | undefined;
  do {
    const page = await get<{ experiments: readonly Experiment[]; next_page_token?: string }>(
      "/experiments",
      { page_token: token },
      signal,
    );
    found.push(...page.experiments);
    token = page.next_page_token;
  } while (token);
  return found;
}

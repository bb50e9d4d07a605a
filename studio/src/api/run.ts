// One run in full, with its processes, files and verdict, as the collector answers.

import { get } from "./client";
import type { Run, RunStatus } from "./types";

export type Phase = "" | "image" | "execution" | "preparation" | "rendezvous" | "driver" | "release";

export interface Failure {
  readonly phase: Phase;
  readonly cause: string;
  readonly log: string | null;
  readonly start: number | null;
  readonly end: number | null;
}

export interface Transition {
  readonly status: RunStatus;
  readonly phase: Phase;
  readonly wall_ns: number;
}

export interface Attempt {
  readonly attempt: number;
  readonly status: RunStatus;
  readonly exit_code: number | null;
  readonly cause: string;
  readonly started_ns: number | null;
  readonly ended_ns: number | null;
}

export interface NodeOfRun {
  readonly node_id: string;
  readonly ip: string;
  readonly hostname: string;
  readonly folder: string;
  readonly heard_ns: number | null;
  readonly status: RunStatus;
  readonly phase: Phase;
  readonly exit_code: number | null;
  readonly cause: string;
  readonly failure: Failure | null;
  readonly transitions: readonly Transition[];
  readonly attempt: number;
  readonly earlier: readonly Attempt[];
  readonly clock: { readonly offset_ns: number; readonly error_ns: number } | null;
}

export interface Progress {
  readonly step: number | null;
  readonly total: number | null;
  readonly done: number | null;
  readonly epoch: number | null;
  readonly rate_per_s: number | null;
  readonly eta_s: number | null;
  readonly at_ns: number;
  readonly last_output_ns: number | null;
  readonly is_stalled: boolean;
  readonly stalls: number;
}

export interface ProcessOfRun {
  readonly node_id: string;
  readonly rank: number;
  readonly name: string;
  readonly pid: number | null;
  readonly status: "Started" | "Completed" | "Failed" | "Terminated";
  readonly exit_code: number | null;
  readonly signal: number | null;
  readonly started_ns: number | null;
  readonly ended_ns: number | null;
  readonly log: string;
  readonly progress: Progress | null;
}

export interface Goal {
  readonly metric: string;
  readonly goal: "minimize" | "maximize";
}

export interface RunInFull extends Run {
  readonly timeout_s: number | null;
  readonly failure: Failure | null;
  readonly cluster: string;
  readonly parent_run_id: string | null;
  readonly kind: string;
  readonly number: number;
  readonly is_client_run: boolean;
  readonly deleted_ms: number | null;
  readonly transitions: readonly Transition[];
  readonly nodes: readonly NodeOfRun[];
  readonly processes: readonly ProcessOfRun[];
  readonly params: Readonly<Record<string, string>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly goal: Goal | null;
  readonly best_run_id: string | null;
  readonly best_value: number | null;
  readonly hint: string;
  readonly warnings: readonly string[];
}

/** The path of a run below /api/v1. */
export function runPath(runId: string): string {
  return `/runs/${encodeURIComponent(runId)}`;
}

export function getRun(runId: string, signal?: AbortSignal): Promise<RunInFull> {
  return get<RunInFull>(runPath(runId), {}, signal);
}

/** Where the collector has a node's file: an attempt after the first has a folder of its own, and so has a node among several. */
export function filePath(run: RunInFull, node: NodeOfRun, name: string): string {
  const ofAttempt = node.attempt ? `attempts/${node.attempt}/${name}` : name;
  return run.node_count > 1 || run.nodes.length > 1 ? `${node.folder}/${ofAttempt}` : ofAttempt;
}

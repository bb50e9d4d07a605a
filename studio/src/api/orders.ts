// What a run is asked to be: described, checked, submitted, and given out again.

import { get, send } from "./client";
import type { Request } from "./compute";
import { runPath } from "./run";

export interface Snapshot {
  readonly id: string;
  readonly size_bytes: number;
  readonly files: number;
}

/** runyard/spec.py's Spec as JSON, as far as the page reads it; the rest goes along as it is. */
export interface Spec {
  readonly command?: readonly string[];
  readonly experiment?: string;
  readonly name?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly code?: string;
  readonly environment?: Environment;
  readonly resources?: Readonly<Record<string, unknown>>;
  readonly limits?: Readonly<Record<string, number>>;
  readonly distribution?: Distribution;
  readonly [name: string]: unknown;
}

export interface Environment {
  readonly kind?: string;
  readonly python?: string;
  readonly requirements?: string;
  readonly requirements_dir?: string;
  readonly image?: string;
  readonly containerfile?: string;
  readonly [name: string]: unknown;
}

export interface Distribution {
  readonly kind?: string;
  readonly processes_per_node?: number;
  readonly [name: string]: unknown;
}

export interface Order {
  readonly spec: Spec;
  readonly snapshot: Snapshot | null;
  readonly user: string;
}

/** The body with which a run is submitted. */
export interface Submission {
  readonly run_id: string;
  readonly order: Order;
  readonly node_count: number;
  readonly request: Request;
  readonly priority: number;
  readonly max_queue_s: number;
  readonly retries: number;
}

export interface OrderOfRun extends Omit<Submission, "run_id"> {
  readonly cluster: string;
  readonly withheld: readonly string[];
}

export interface Described {
  readonly spec: Spec;
  readonly request: Request;
  readonly node_count: number;
}

export function getOrder(runId: string, signal?: AbortSignal): Promise<OrderOfRun> {
  return get<OrderOfRun>(`${runPath(runId)}/order`, {}, signal);
}

/** What the text of a run.toml describes; throws ApiError with the sentence of what is wrong with it. */
export function describe(toml: string): Promise<Described> {
  return send<Described>("POST", "/descriptions", { toml });
}

/** Why the run could not be submitted or started so; empty where it could. */
export async function check(cluster: string, wanted: Submission): Promise<string> {
  return (await send<{ why: string }>("POST", `/clusters/${encodeURIComponent(cluster)}/checks`, wanted)).why;
}

/** Puts the run into the cluster's queue. The very same again is harmless. */
export async function submit(cluster: string, wanted: Submission): Promise<void> {
  await send("POST", `/clusters/${encodeURIComponent(cluster)}/runs`, wanted);
}

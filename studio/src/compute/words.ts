// What a cluster, a node and a request are, in words. Pure.

import type { Cluster, NodeStatus, QueuedRun, Request, Sample } from "../api/compute";
import { bytes } from "../format";
import { FINAL } from "../parts/status";

export const NODE_WORDS: Readonly<Record<NodeStatus, string>> = {
  Idle: "Idle",
  Preparing: "Preparing",
  Running: "Running",
  Leaving: "Leaving",
  Unusable: "Unusable",
  LostContact: "Not heard from",
};

export const NODE_TONES: Readonly<Record<NodeStatus, string>> = {
  Idle: "waiting",
  Preparing: "active",
  Running: "good",
  Leaving: "off",
  Unusable: "bad",
  LostContact: "warn",
};

const ORDER = Object.keys(NODE_WORDS) as NodeStatus[];

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** How many nodes are in which status, the usual ones first. */
export function byStatus(nodes: Cluster["nodes"]): readonly (readonly [NodeStatus, number])[] {
  return ORDER.flatMap((status) => (nodes[status] ? [[status, nodes[status]] as const] : []));
}

export function nodeCount(cluster: Cluster): number {
  return Object.values(cluster.nodes).reduce((sum, count) => sum + count, 0);
}

/** What a run wants of each node. */
export function wanted(request: Request): string {
  const parts: string[] = [];
  if (request.gpus) parts.push(plural(request.gpus, "GPU"));
  if (request.cpus) parts.push(plural(request.cpus, "CPU"));
  if (request.memory_bytes) parts.push(bytes(request.memory_bytes));
  if (!request.cpus && !request.memory_bytes) parts.push("whole nodes");
  return parts.join(", ");
}

/** The places of those that wait, counted from 1, by run id. */
export function positions(runs: readonly QueuedRun[]): ReadonlyMap<string, number> {
  const waiting = runs.filter((one) => one.placed_ns === null && !FINAL.has(one.run.status));
  return new Map(waiting.map((one, at) => [one.run.run_id, at + 1]));
}

/** A share in percent, at most 100; undefined where one of the two is not known. */
export function share(part: number | undefined, whole: number | undefined): number | undefined {
  return part === undefined || !whole ? undefined : Math.min(100, (100 * part) / whole);
}

export function percent(value: number | undefined): string {
  return value === undefined ? "–" : `${Math.round(value)} %`;
}

/** The GPUs' mean utilisation and memory, in few words; what the node does not tell is left out. */
export function gpuLoad(sample: Sample): string {
  const parts: string[] = [];
  if (sample["gpu_percent"] !== undefined) parts.push(percent(sample["gpu_percent"]));
  const total = sample["gpu_mem_total_bytes"];
  if (total) parts.push(`${bytes(sample["gpu_mem_used_bytes"] ?? 0)} of ${bytes(total)}`);
  if (sample["gpus_lost"]) parts.push(`${sample["gpus_lost"]} lost`);
  return parts.join(", ");
}

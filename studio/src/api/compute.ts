// Clusters, their nodes and their queues, as the collector answers.

import { get, send } from "./client";
import type { Run } from "./types";

export interface Capacity {
  readonly cpus: number;
  readonly memory_bytes: number;
  readonly gpus: number;
  readonly gpu_name: string;
}

/** What a run wants of each of its nodes. With neither cpus nor memory_bytes, it has the node for itself. */
export interface Request {
  readonly gpus: number;
  readonly cpus: number;
  readonly memory_bytes: number;
}

export type NodeStatus = "Idle" | "Preparing" | "Running" | "Leaving" | "Unusable" | "LostContact";

export interface Cluster {
  readonly cluster: string;
  readonly nodes: Readonly<Partial<Record<NodeStatus, number>>>;
  readonly capacity: Capacity;
  readonly gpus_taken: number;
  readonly queued: number;
  readonly active: number;
}

export type Sample = Readonly<Record<string, number | undefined>>;

export interface ClusterNode {
  readonly node_id: string;
  readonly cluster: string;
  readonly hostname: string;
  readonly ip: string;
  readonly status: NodeStatus;
  readonly reason: string;
  readonly is_drained: boolean;
  readonly drain_reason: string;
  readonly capacity: Capacity;
  readonly agent_version: string;
  readonly clock_off_ns: number;
  readonly joined_ns: number;
  readonly heard_ns: number | null;
  readonly runs: readonly { readonly run_id: string; readonly attempt: number; readonly is_over: boolean }[];
  readonly sample: Sample;
}

export interface QueuedRun {
  readonly run: Run & { readonly parent_run_id: string | null };
  readonly request: Request;
  readonly priority: number;
  readonly submitted_ns: number;
  readonly placed_ns: number | null;
  readonly retries: number;
  readonly waits_for: string;
  readonly nodes: readonly string[];
}

export type SampleAt = readonly [at_ns: number, values: Sample];

export async function getClusters(signal?: AbortSignal): Promise<readonly Cluster[]> {
  return (await get<{ clusters: readonly Cluster[] }>("/clusters", {}, signal)).clusters;
}

export async function getNodes(cluster: string, signal?: AbortSignal): Promise<readonly ClusterNode[]> {
  return (await get<{ nodes: readonly ClusterNode[] }>("/nodes", { cluster }, signal)).nodes;
}

/** The runs of a cluster that are not over, in the order in which they get nodes. */
export async function getQueue(cluster: string, signal?: AbortSignal): Promise<readonly QueuedRun[]> {
  return (await get<{ runs: readonly QueuedRun[] }>(`/clusters/${encodeURIComponent(cluster)}/runs`, {}, signal)).runs;
}

export function getCluster(cluster: string, signal?: AbortSignal): Promise<Cluster> {
  return get<Cluster>(`/clusters/${encodeURIComponent(cluster)}`, {}, signal);
}

export function getNode(nodeId: string, signal?: AbortSignal): Promise<ClusterNode> {
  return get<ClusterNode>(`/nodes/${encodeURIComponent(nodeId)}`, {}, signal);
}

/** The node's samples from `sinceNs` on, one a minute, oldest first. */
export async function getSamples(nodeId: string, sinceNs: number, signal?: AbortSignal): Promise<readonly SampleAt[]> {
  const path = `/nodes/${encodeURIComponent(nodeId)}/samples`;
  return (await get<{ samples: readonly SampleAt[] }>(path, { since_ns: sinceNs }, signal)).samples;
}

/** The node gets no more runs; what it has goes on. */
export function drainNode(nodeId: string, reason: string): Promise<ClusterNode> {
  return send<ClusterNode>("POST", `/nodes/${encodeURIComponent(nodeId)}/drain`, { reason });
}

export function resumeNode(nodeId: string): Promise<ClusterNode> {
  return send<ClusterNode>("POST", `/nodes/${encodeURIComponent(nodeId)}/resume`);
}

// What a cluster knows of a run's nodes, one sample a minute: for runs of which nobody has measured more.

import { ApiError, get } from "../api/client";
import type { RunInFull } from "../api/run";
import type { Reading } from "./telemetry_reading";

type Told = readonly [number, Readonly<Record<string, number>>];

export async function nodeReadings(run: RunInFull, ids: readonly string[], signal: AbortSignal): Promise<Map<string, Reading>> {
  const found = new Map<string, Reading>();
  const from = run.started_ns ?? run.created_ns;
  for (const id of run.cluster ? ids : []) {
    const told = await samplesOf(id, from, signal);
    const samples = told
      .filter(([at]) => at <= (run.ended_ns ?? Infinity))
      .map(([at, node]) => ({ wall_ns: at, node, gpus: gpuOf(node) }));
    if (samples.length) found.set(id, { samples, xids: [], end: 0, blocks: [] });
  }
  return found;
}

async function samplesOf(id: string, since: number, signal: AbortSignal): Promise<readonly Told[]> {
  try {
    const query = { since_ns: Math.floor(since) };
    return (await get<{ samples: readonly Told[] }>(`/nodes/${encodeURIComponent(id)}/samples`, query, signal)).samples;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return [];
    throw error;
  }
}

/** A node tells of all its GPUs together. */
function gpuOf(node: Readonly<Record<string, number>>) {
  if (node["gpu_percent"] === undefined) return [];
  const told = { percent: node["gpu_percent"], mem_used_bytes: node["gpu_mem_used_bytes"], power_w: node["gpu_power_w"] };
  const known = Object.entries(told).filter((one): one is [string, number] => one[1] !== undefined);
  return [{ gpu: 0, ...Object.fromEntries(known) }];
}

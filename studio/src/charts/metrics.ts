// What the metrics of a run come to.

import { get } from "../api/client";
import { runPath } from "../api/run";

export interface Metric {
  readonly name: string;
  readonly kind: string;
  readonly count: number;
  readonly number_count: number;
  readonly nan_count: number;
  readonly first: unknown;
  readonly last: unknown;
  readonly last_step: number | null;
  readonly last_ms: number;
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
}

export async function askMetrics(runId: string, signal?: AbortSignal): Promise<readonly Metric[]> {
  return (await get<{ metrics: Metric[] }>(`${runPath(runId)}/metrics`, {}, signal)).metrics;
}

/** Whether a chart can show it. */
export const isNumeric = (metric: Metric) => metric.kind === "scalar" && metric.number_count > 0;

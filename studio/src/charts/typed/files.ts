// The files that typed metrics lie in, and the values that name them.

import { answerTo, apiUrl, ApiError, get } from "../../api/client";
import { runPath } from "../../api/run";
import type { Problem } from "../../api/types";

export interface Value {
  readonly value: unknown;
  readonly step: number | null;
  readonly at_ms: number;
  readonly is_text?: boolean;
}

export interface Values {
  readonly count: number;
  readonly points: readonly Value[];
  readonly next?: number;
}

/** Values of a metric in recorded order, from the `from`th on. */
export function askValues(runId: string, name: string, from: number, limit: number, signal?: AbortSignal): Promise<Values> {
  return get<Values>(`${runPath(runId)}/metrics/values`, { name, from, limit }, signal);
}

export function artifactUrl(runId: string, path: string): string {
  return apiUrl(`${runPath(runId)}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`);
}

/** The bytes of a file of the run. Throws ApiError. */
export async function askFile(runId: string, path: string, signal: AbortSignal): Promise<Blob> {
  const response = await answerTo(artifactUrl(runId, path), { signal });
  if (response.ok) return response.blob();
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  throw new ApiError(response.status, problem.code ?? "", problem.detail ?? `${path} could not be read`);
}

// Searching the files of a run: what is asked of the collector, and its answer line by line as it comes.

import { ApiError, answerTo, apiUrl, session } from "../api/client";

export interface Condition {
  readonly pattern: string;
  readonly is_regex: boolean;
  readonly is_case: boolean;
}

/** The body of POST /runs/{run_id}/search. */
export interface Wanted {
  readonly conditions: readonly Condition[];
  readonly files: readonly string[];
  readonly start?: number;
  readonly since_ns?: number;
  readonly until_ns?: number;
  readonly source?: "stdout" | "stderr";
  readonly most_per_file: number;
}

/** A line in which something was found. */
export interface Found {
  readonly path: string;
  readonly line: number | null;
  /** Where the line starts, … */
  readonly start: number;
  /** … where in the file the words stand, and the words. */
  readonly at: number;
  readonly match: string;
  /** The line around them; `text_start`: where that begins in the file. */
  readonly text: string;
  readonly text_start: number;
  readonly at_ns: number;
}

export interface FileCount {
  readonly path: string;
  readonly count: number;
  readonly searched: number;
  readonly size: number;
  readonly is_done: boolean;
  /** Times or streams are asked for, and those of its lines are not known. */
  readonly is_passed_over: boolean;
}

interface End {
  readonly why: "done" | "time" | "failed";
}

export type Told = ({ readonly kind: "hit" } & Found) | ({ readonly kind: "file" } & FileCount) | ({ readonly kind: "end" } & End);

/** Gives `take` the answer's parts as they come, several at once. Throws ApiError. */
export async function search(runId: string, wanted: Wanted, take: (told: readonly Told[]) => void, signal: AbortSignal): Promise<void> {
  const response = await answerTo(apiUrl(`/runs/${encodeURIComponent(runId)}/search`), {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Runyard-Studio": "1" },
    body: JSON.stringify(wanted),
    signal,
  });
  if (!response.ok) throw await errorOf(response);
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop() ?? "";
    if (lines.length) take(lines.filter(Boolean).map((line) => JSON.parse(line) as Told));
    if (done) return;
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string };
  if (response.status === 401) session.value = null;
  return new ApiError(response.status, problem.code ?? "", problem.detail ?? `the collector answered ${response.status}`);
}

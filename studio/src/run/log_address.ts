import { address } from "../address";

/** The page that shows a file of a run, at a byte where one is told. */
export function logAddress(runId: string, file: string, at?: number | null): string {
  const query = new URLSearchParams({ file });
  if (at !== undefined && at !== null) query.set("at", String(at));
  return `${address("runs", runId, "logs")}?${query}`;
}

// What people do with runs, as requests. Each throws ApiError, or an Error with the sentence of what was refused.

import { send, sendLines } from "../api/client";
import { runPath } from "../api/run";

interface Taken {
  readonly refused: readonly { readonly line: number; readonly why: string }[];
}

/** Records of a run, as runyard/tracking/records.py has them. */
async function record(runId: string, records: readonly (readonly unknown[])[]): Promise<void> {
  const { refused } = await sendLines<Taken>(`${runPath(runId)}/records`, records);
  const first = refused[0];
  if (first) throw new Error(first.why);
}

/** It ends as soon as its nodes have ended it; what waits is canceled at once. */
export async function cancelRun(runId: string, reason: string): Promise<void> {
  await send("POST", `${runPath(runId)}/cancel`, { reason });
}

export async function pinRun(runId: string, isPinned: boolean): Promise<void> {
  await send("POST", `${runPath(runId)}/${isPinned ? "pin" : "unpin"}`);
}

/** Hidden from lists, or shown again. */
export function archiveRun(runId: string, isArchived: boolean): Promise<void> {
  return record(runId, [["d", "", isArchived, Date.now()]]);
}

export function renameRun(runId: string, name: string): Promise<void> {
  return record(runId, [["n", "", name]]);
}

/** Sets some tags, in place of those with these keys, and takes others off. */
export function changeTags(runId: string, set: Readonly<Record<string, string>>, remove: readonly string[]): Promise<void> {
  const records = [...remove.map((key) => ["ug", "", key]), ...Object.entries(set).map(([key, value]) => ["g", "", key, value])];
  return records.length ? record(runId, records) : Promise.resolve();
}

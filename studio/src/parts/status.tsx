import type { RunStatus } from "../api/types";

const TONES: Record<RunStatus, string> = {
  NotStarted: "waiting",
  Queued: "waiting",
  Starting: "active",
  Provisioning: "active",
  Preparing: "active",
  Running: "active",
  CancelRequested: "warn",
  Finalizing: "active",
  NotResponding: "warn",
  Completed: "good",
  Failed: "bad",
  Canceled: "off",
};
const WORDS: Partial<Record<RunStatus, string>> = {
  NotStarted: "Not started",
  CancelRequested: "Cancelling",
  NotResponding: "Not responding",
};

/** A status as a word with a mark beside it; never by colour alone. */
export function Status({ status }: { status: RunStatus }) {
  return <span class={`status ${TONES[status]}`}>{WORDS[status] ?? status}</span>;
}

export const FINAL: ReadonlySet<RunStatus> = new Set(["Completed", "Failed", "Canceled"]);
export const STATUSES = Object.keys(TONES) as RunStatus[];

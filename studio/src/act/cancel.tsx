import { useState } from "preact/hooks";
import type { Run } from "../api/types";
import { FormDialog } from "../parts/dialog";
import { FINAL } from "../parts/status";
import { tellOutcome, withEach } from "./all";
import { cancelRun } from "./requests";

/** As much of a run as the actions need. */
export type RunToAct = Pick<Run, "run_id" | "name" | "status">;

const MOST_NAMED = 12;

interface Props {
  readonly runs: readonly RunToAct[];
  readonly refresh: () => void;
  readonly onClose: () => void;
}

/** Asks whether to cancel these runs, and does it. Those that have ended are left out. */
export function CancelDialog({ runs, refresh, onClose }: Props) {
  const [reason, setReason] = useState("");
  const live = runs.filter((run) => !FINAL.has(run.status));
  const ended = runs.length - live.length;
  async function cancel(): Promise<void> {
    const outcome = await withEach(live, (run) => cancelRun(run.run_id, reason.trim()));
    if (live.length === 1 && outcome.failed) throw new Error(outcome.firstWhy);
    tellOutcome("Asked to cancel", outcome);
    refresh();
  }
  return (
    <FormDialog
      title={live.length === 1 ? `Cancel run ${live[0]?.name || live[0]?.run_id}?` : `Cancel ${live.length} runs?`}
      action={live.length === 1 ? "Cancel run" : "Cancel runs"}
      back="Keep running"
      isDangerous
      isDisabled={live.length === 0}
      onSubmit={cancel}
      onClose={onClose}
    >
      {live.length > 1 && <Named runs={live} />}
      {live.length === 0 && <p>All of these runs have ended; there is nothing left to cancel.</p>}
      {live.length > 0 && ended > 0 && <p class="soft">{ended === 1 ? "One has" : `${ended} have`} ended already.</p>}
      {live.length > 0 && <p>What waits is canceled at once; what runs is asked to end, then ended. Logs and metrics stay. Children are canceled with their parent.</p>}
      {live.length > 0 && (
        <label>
          Reason (optional)
          <input value={reason} maxLength={1000} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
      )}
    </FormDialog>
  );
}

export function Named({ runs }: { runs: readonly RunToAct[] }) {
  return (
    <ul>
      {runs.slice(0, MOST_NAMED).map((run) => (
        <li key={run.run_id}>{run.name || run.run_id}</li>
      ))}
      {runs.length > MOST_NAMED && <li>and {runs.length - MOST_NAMED} more</li>}
    </ul>
  );
}

import { FormDialog } from "../parts/dialog";
import { FINAL } from "../parts/status";
import { tellOutcome, withEach } from "./all";
import { Named, type RunToAct } from "./cancel";
import { archiveRun } from "./requests";

interface Props {
  readonly runs: readonly RunToAct[];
  readonly refresh: () => void;
  readonly onClose: () => void;
}

/** Asks whether to hide these runs from lists, and does it. */
export function ArchiveDialog({ runs, refresh, onClose }: Props) {
  const live = runs.filter((run) => !FINAL.has(run.status)).length;
  async function archive(): Promise<void> {
    const outcome = await withEach(runs, (run) => archiveRun(run.run_id, true));
    if (runs.length === 1 && outcome.failed) throw new Error(outcome.firstWhy);
    tellOutcome("Archived", outcome);
    refresh();
  }
  return (
    <FormDialog
      title={runs.length === 1 ? `Archive run ${runs[0]?.name || runs[0]?.run_id}?` : `Archive ${runs.length} runs?`}
      action="Archive"
      onSubmit={archive}
      onClose={onClose}
    >
      {runs.length > 1 && <Named runs={runs} />}
      <p>Archived runs are left out of lists. Nothing of them is removed, and each can be restored.</p>
      {live > 0 && <p>{live === 1 ? "One of them has not ended, and goes on." : `${live} of them have not ended, and go on.`}</p>}
    </FormDialog>
  );
}

/** Shows archived runs in lists again. */
export async function restoreRuns(runs: readonly RunToAct[], refresh: () => void): Promise<void> {
  tellOutcome("Restored", await withEach(runs, (run) => archiveRun(run.run_id, false)));
  refresh();
}

// What can be done with the runs that are selected in a table.

import { useState } from "preact/hooks";
import { FINAL } from "../parts/status";
import "./act.css";
import { ArchiveDialog, restoreRuns } from "./archive";
import { CancelDialog, type RunToAct } from "./cancel";
import { TagManyDialog } from "./tags";

interface Props {
  readonly runs: readonly (RunToAct & { readonly deleted_ms?: number | null })[];
  /** Called when something was changed: the table asks again. */
  readonly refresh: () => void;
}

type Asked = "" | "cancel" | "tag" | "archive";

export function BulkActions({ runs, refresh }: Props) {
  const [asked, ask] = useState<Asked>("");
  const onClose = () => ask("");
  const archived = runs.filter((run) => run.deleted_ms);
  const shown = runs.filter((run) => !run.deleted_ms);
  return (
    <div class="run-actions" role="group" aria-label="Actions on the selected runs">
      <button type="button" class="danger" disabled={runs.every((run) => FINAL.has(run.status))} onClick={() => ask("cancel")}>
        Cancel
      </button>
      <button type="button" disabled={!runs.length} onClick={() => ask("tag")}>
        Tag
      </button>
      {shown.length > 0 && (
        <button type="button" onClick={() => ask("archive")}>
          Archive
        </button>
      )}
      {archived.length > 0 && (
        <button type="button" onClick={() => void restoreRuns(archived, refresh)}>
          Restore
        </button>
      )}
      {asked === "cancel" && <CancelDialog runs={runs} refresh={refresh} onClose={onClose} />}
      {asked === "tag" && <TagManyDialog runs={runs} refresh={refresh} onClose={onClose} />}
      {asked === "archive" && <ArchiveDialog runs={shown} refresh={refresh} onClose={onClose} />}
    </div>
  );
}

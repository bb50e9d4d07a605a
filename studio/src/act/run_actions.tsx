// What can be done with one run: cancel, run again, and behind a menu the rest.

import { useState } from "preact/hooks";
import type { RunInFull } from "../api/run";
import { Link } from "../parts/link";
import { Menu, type MenuItem } from "../parts/menu";
import { complain, tell } from "../parts/notices";
import { FINAL } from "../parts/status";
import "./act.css";
import { ArchiveDialog, restoreRuns } from "./archive";
import { CancelDialog } from "./cancel";
import { RenameDialog } from "./rename";
import { pinRun } from "./requests";
import { TagsDialog } from "./tags";

interface Props {
  readonly run: RunInFull;
  readonly refresh: () => void;
}

type Asked = "" | "cancel" | "rename" | "tags" | "archive";

export function RunActions({ run, refresh }: Props) {
  const [asked, ask] = useState<Asked>("");
  const onClose = () => ask("");
  const isOver = FINAL.has(run.status);
  return (
    <div class="run-actions">
      {run.is_pinned && <span class="badge">Pinned</span>}
      {run.deleted_ms !== null && <span class="badge">Archived</span>}
      {!isOver && (
        <button type="button" class="danger" disabled={run.status === "CancelRequested"} onClick={() => ask("cancel")}>
          Cancel run
        </button>
      )}
      {!run.is_client_run && (
        <Link class="button plain-button" to={`/new?from=${encodeURIComponent(run.run_id)}`}>
          Run again
        </Link>
      )}
      <Menu label="More actions" items={itemsFor(run, refresh, ask)} />
      {asked === "cancel" && <CancelDialog runs={[run]} refresh={refresh} onClose={onClose} />}
      {asked === "rename" && <RenameDialog run={run} refresh={refresh} onClose={onClose} />}
      {asked === "tags" && <TagsDialog run={run} refresh={refresh} onClose={onClose} />}
      {asked === "archive" && <ArchiveDialog runs={[run]} refresh={refresh} onClose={onClose} />}
    </div>
  );
}

function itemsFor(run: RunInFull, refresh: () => void, ask: (what: Asked) => void): readonly MenuItem[] {
  return [
    { label: "Rename", onChoose: () => ask("rename") },
    { label: "Edit tags", onChoose: () => ask("tags") },
    {
      label: run.is_pinned ? "Unpin" : "Pin",
      title: run.is_pinned ? "Its files are removed when their time has come" : "Its files are never removed for their age or size",
      onChoose: () => void pin(run, refresh),
    },
    run.deleted_ms === null
      ? { label: "Archive", onChoose: () => ask("archive") }
      : { label: "Restore", onChoose: () => void restoreRuns([run], refresh) },
  ];
}

async function pin(run: RunInFull, refresh: () => void): Promise<void> {
  try {
    await pinRun(run.run_id, !run.is_pinned);
    tell(run.is_pinned ? "The run is not pinned any more; its files are removed when their time has come." : "The run is pinned; its files are kept.");
    refresh();
  } catch (failure) {
    complain(failure);
  }
}

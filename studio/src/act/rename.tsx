import { useState } from "preact/hooks";
import { FormDialog } from "../parts/dialog";
import { tell } from "../parts/notices";
import type { RunToAct } from "./cancel";
import { renameRun } from "./requests";

interface Props {
  readonly run: RunToAct;
  readonly refresh: () => void;
  readonly onClose: () => void;
}

/** Calls a run otherwise. Its id stays. */
export function RenameDialog({ run, refresh, onClose }: Props) {
  const [name, setName] = useState(run.name);
  async function rename(): Promise<void> {
    await renameRun(run.run_id, name.trim());
    tell(name.trim() ? `The run is now called ${name.trim()}.` : "The run has no name any more; its id is shown.");
    refresh();
  }
  return (
    <FormDialog title="Rename run" action="Rename" onSubmit={rename} onClose={onClose}>
      <label>
        Name
        <input value={name} maxLength={1000} autofocus onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <p class="soft">
        The run id, <code>{run.run_id}</code>, stays as it is.
      </p>
    </FormDialog>
  );
}

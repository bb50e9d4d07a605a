import { useState } from "preact/hooks";
import { FormDialog } from "../parts/dialog";
import { tell } from "../parts/notices";
import { type PairRow, PairRows, pairsOf, rowsOf, whyBadPairs } from "./pair_rows";
import { tellOutcome, withEach } from "./all";
import { Named, type RunToAct } from "./cancel";
import { changeTags } from "./requests";

interface OneProps {
  readonly run: RunToAct & { readonly tags: Readonly<Record<string, string>> };
  readonly refresh: () => void;
  readonly onClose: () => void;
}

/** Changes the tags of one run. */
export function TagsDialog({ run, refresh, onClose }: OneProps) {
  // As they were when it was opened: what others set meanwhile is not in the rows, and stays.
  const [before] = useState(run.tags);
  const [rows, setRows] = useState<readonly PairRow[]>(() => rowsOf(before, true));
  const wrong = whyBadPairs(rows, "tag");
  async function save(): Promise<void> {
    const wanted = pairsOf(rows);
    const removed = Object.keys(before).filter((key) => !(key in wanted));
    const changed = Object.fromEntries(Object.entries(wanted).filter(([key, value]) => before[key] !== value));
    await changeTags(run.run_id, changed, removed);
    tell("The tags are saved.");
    refresh();
  }
  return (
    <FormDialog title="Tags" action="Save tags" isDisabled={Boolean(wrong)} onSubmit={save} onClose={onClose}>
      <PairRows what="tag" rows={rows} onChange={setRows} />
      <p class="soft" role="status">
        {wrong}
      </p>
    </FormDialog>
  );
}

interface ManyProps {
  readonly runs: readonly RunToAct[];
  readonly refresh: () => void;
  readonly onClose: () => void;
}

/** Adds a tag to several runs, or takes one off. */
export function TagManyDialog({ runs, refresh, onClose }: ManyProps) {
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  const [isRemoving, setRemoving] = useState(false);
  async function save(): Promise<void> {
    const name = key.trim();
    const outcome = await withEach(runs, (run) => changeTags(run.run_id, isRemoving ? {} : { [name]: value }, isRemoving ? [name] : []));
    tellOutcome(isRemoving ? `Took the tag ${name} off` : `Tagged`, outcome);
    refresh();
  }
  return (
    <FormDialog
      title={runs.length === 1 ? "Tag 1 run" : `Tag ${runs.length} runs`}
      action={isRemoving ? "Remove tag" : "Add tag"}
      isDisabled={!key.trim()}
      onSubmit={save}
      onClose={onClose}
    >
      <Named runs={runs} />
      <label>
        Tag
        <input value={key} maxLength={255} autofocus onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      {!isRemoving && (
        <label>
          Value
          <input value={value} onInput={(event) => setValue(event.currentTarget.value)} />
        </label>
      )}
      <label class="check">
        <input type="checkbox" checked={isRemoving} onChange={(event) => setRemoving(event.currentTarget.checked)} />
        Take this tag off instead
      </label>
    </FormDialog>
  );
}

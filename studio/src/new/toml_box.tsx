// The text of a run.toml, pasted, dropped or chosen: it fills the form, or is told what is wrong with it.

import { useRef, useState } from "preact/hooks";
import { describe } from "../api/orders";
import { ErrorNote } from "../parts/notes";
import { type Draft, filled } from "./draft";

interface Props {
  readonly draft: Draft;
  readonly onDraft: (draft: Draft) => void;
}

const MOST_BYTES = 1 << 20;

export function TomlBox({ draft, onDraft }: Props) {
  const [text, setText] = useState("");
  const [said, setSaid] = useState<{ isBad: boolean; text: string }>({ isBad: false, text: "" });
  const [isOver, setOver] = useState(false);
  const newest = useRef("");

  async function read(toml: string): Promise<void> {
    setText(toml);
    newest.current = toml;
    if (!toml.trim()) return setSaid({ isBad: false, text: "" });
    try {
      const found = await describe(toml);
      if (newest.current !== toml) return;
      onDraft({ ...filled(draft, found), snapshot: null });
      setSaid({ isBad: false, text: "The form below is filled with what this describes." });
    } catch (failure) {
      if (newest.current === toml) setSaid({ isBad: true, text: failure instanceof Error ? failure.message : String(failure) });
    }
  }

  async function take(files: FileList | null | undefined): Promise<void> {
    const file = files?.[0];
    if (!file) return;
    if (file.size > MOST_BYTES) return setSaid({ isBad: true, text: `${file.name} is no run.toml: it has more than 1 MiB.` });
    await read(await file.text());
  }

  return (
    <details
      class={`toml ${isOver ? "over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        event.currentTarget.open = true;
        setOver(false);
        void take(event.dataTransfer?.files);
      }}
    >
      <summary>Fill the form from a run.toml: paste it, or drop the file here</summary>
      <label>
        <span class="hidden">run.toml</span>
        <textarea
          rows={10}
          value={text}
          spellcheck={false}
          placeholder={'command = ["python", "train.py"]\nexperiment = "digits"'}
          onInput={(event) => void read(event.currentTarget.value)}
        />
      </label>
      <label class="file">
        <span>Or choose a file</span>
        <input type="file" accept=".toml,text/plain" onChange={(event) => void take(event.currentTarget.files)} />
      </label>
      <div class="toml-said">{said.isBad ? <ErrorNote>{said.text}</ErrorNote> : <p role="status">{said.text}</p>}</div>
    </details>
  );
}

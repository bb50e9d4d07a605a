// One condition of the filter as a form: a choice of known values, a time, or a name with a comparison.

import { useId, useState } from "preact/hooks";
import { type KnownNames, listExperiments } from "../api/table";
import { useLive } from "../live";
import { FormDialog } from "../parts/dialog";
import { STATUSES } from "../parts/status";
import type { Clause } from "./filter";
import type { Field } from "./words";

interface Props {
  readonly field: Field;
  readonly clause: Clause | undefined;
  readonly names: KnownNames | undefined;
  readonly onDone: (clause: Clause) => void;
  readonly onClose: () => void;
}

interface EditorProps extends Props {
  readonly onDraft: (clause: Clause | undefined) => void;
}

export function FilterDialog(props: Props) {
  const { field, clause } = props;
  const [draft, setDraft] = useState<Clause | undefined>(clause);
  const Editor = EDITORS[field.kind];
  return (
    <FormDialog
      title={`Filter by ${field.title.toLowerCase()}`}
      action={clause ? "Change" : "Add filter"}
      isDisabled={!draft}
      onSubmit={async () => {
        if (draft) props.onDone(draft);
      }}
      onClose={props.onClose}
    >
      <Editor {...props} onDraft={setDraft} />
    </FormDialog>
  );
}

function useKnown({ field, names }: Props): readonly string[] {
  const isOfExperiments = field.id === "experiment";
  const listed = useLive(`choice of ${field.id}`, (signal) => (isOfExperiments ? listExperiments(signal) : Promise.resolve([])));
  if (field.id === "status") return STATUSES;
  if (isOfExperiments) return (listed.data ?? []).map(({ name }) => name);
  if (field.id === "user") return names?.users ?? [];
  return (field.id === "cluster" ? names?.clusters : names?.nodes) ?? [];
}

function ChoiceEditor(props: EditorProps) {
  const { field, clause, onDraft } = props;
  const [chosen, setChosen] = useState<readonly string[]>(clause?.values ?? []);
  const [isNot, setNot] = useState(clause?.comparator === "!=" || clause?.comparator === "NOT IN");
  const [sought, setSought] = useState("");
  const all = [...new Set([...useKnown(props), ...chosen])];
  const shown = all.filter((one) => one.toLowerCase().includes(sought.trim().toLowerCase()));

  function change(values: readonly string[], not: boolean): void {
    setChosen(values);
    setNot(not);
    const comparator = values.length > 1 ? (not ? "NOT IN" : "IN") : not ? "!=" : "=";
    onDraft(values.length ? { entity: "attribute", key: field.key, comparator, values } : undefined);
  }

  function add(): void {
    const value = sought.trim();
    if (value && !chosen.includes(value)) change([...chosen, value], isNot);
    setSought("");
  }

  return (
    <>
      <Ways label={field.title} names={["is one of these", "is none of these"]} at={isNot ? 1 : 0} onChoose={(at) => change(chosen, at === 1)} />
      <label>
        Search, or a value that is not in the list
        <input
          value={sought}
          onInput={(event) => setSought(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !sought.trim() || shown.length) return;
            event.preventDefault();
            add();
          }}
        />
      </label>
      <div class="choices" role="group" aria-label={field.title}>
        {shown.map((value) => (
          <label key={value}>
            <input
              type="checkbox"
              checked={chosen.includes(value)}
              onChange={() => change(chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value], isNot)}
            />
            {value}
          </label>
        ))}
        {!shown.length && (
          <button type="button" class="quiet" disabled={!sought.trim()} onClick={add}>
            {sought.trim() ? `Use “${sought.trim()}”` : "None is known yet; type one above."}
          </button>
        )}
      </div>
    </>
  );
}

function TextEditor({ field, clause, onDraft }: EditorProps) {
  const [text, setText] = useState(clause?.values[0]?.replace(/^%|%$/g, "") ?? "");

  function change(to: string): void {
    setText(to);
    onDraft(to ? { entity: "attribute", key: field.key, comparator: "ILIKE", values: [`%${to}%`] } : undefined);
  }

  return (
    <label>
      {field.title} contains
      <input required value={text} onInput={(event) => change(event.currentTarget.value)} />
    </label>
  );
}

const LENGTHS: readonly (readonly [string, string])[] = [
  ["-1h", "in the last hour"],
  ["-24h", "in the last 24 hours"],
  ["-7d", "in the last 7 days"],
  ["-30d", "in the last 30 days"],
  ["since", "since a moment"],
  ["before", "before a moment"],
];

function TimeEditor({ clause, onDraft }: EditorProps) {
  const first = clause?.values[0] ?? "";
  const known = LENGTHS.some(([length]) => length === first);
  const [key, setKey] = useState(clause?.key ?? "created");
  const [length, setLength] = useState(known ? first : clause?.comparator.startsWith("<") ? "before" : first ? "since" : "");
  const [moment, setMoment] = useState(known || !first ? "" : localOf(Number(first)));

  function change(to: { key?: string; length?: string; moment?: string }): void {
    const now = { key, length, moment, ...to };
    setKey(now.key);
    setLength(now.length);
    setMoment(now.moment);
    const isMoment = now.length === "since" || now.length === "before";
    const value = isMoment ? String(new Date(now.moment).getTime()) : now.length;
    const comparator = now.length === "before" ? "<" : ">=";
    onDraft(value && value !== "NaN" ? { entity: "attribute", key: now.key, comparator, values: [value] } : undefined);
  }

  return (
    <>
      <label>
        Runs that were
        <select value={key} onChange={(event) => change({ key: event.currentTarget.value })}>
          <option value="created">created</option>
          <option value="started">started</option>
          <option value="ended">ended</option>
        </select>
      </label>
      <label>
        When
        <select value={length} onChange={(event) => change({ length: event.currentTarget.value })}>
          <option value="" disabled />
          {LENGTHS.map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {(length === "since" || length === "before") && (
        <label>
          Moment
          <input type="datetime-local" value={moment} onInput={(event) => change({ moment: event.currentTarget.value })} />
        </label>
      )}
    </>
  );
}

function localOf(ms: number): string {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const COMPARISONS: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  metric: [["<", "<"], ["<=", "≤"], [">", ">"], [">=", "≥"], ["=", "="], ["!=", "≠"]],
  label: [["=", "is"], ["!=", "is not"], ["ILIKE", "contains"], ["IS NOT NULL", "is set"], ["IS NULL", "is not set"]],
};

function NamedEditor({ field, clause, names, onDraft }: EditorProps) {
  const isMetric = field.entity === "metric";
  const [key, setKey] = useState(clause?.key ?? "");
  const [comparator, setComparator] = useState(clause?.comparator ?? (isMetric ? "<" : "="));
  const [value, setValue] = useState(clause?.values[0]?.replace(clause.comparator === "ILIKE" ? /^%|%$/g : /^$/, "") ?? "");
  const id = useId();
  const labels = (field.entity === "param" ? names?.params : names?.tags) ?? {};

  function change(to: { key?: string; comparator?: string; value?: string }): void {
    const now = { key, comparator, value, ...to };
    setKey(now.key);
    setComparator(now.comparator);
    setValue(now.value);
    const isBare = now.comparator.startsWith("IS");
    const isFit = isMetric ? now.value.trim() !== "" && Number.isFinite(Number(now.value)) : true;
    const values = isBare ? [] : [now.comparator === "ILIKE" ? `%${now.value}%` : now.value.trim()];
    onDraft(now.key && (isBare || isFit) ? { entity: field.entity, key: now.key, comparator: now.comparator, values } : undefined);
  }

  return (
    <>
      <div class="trio">
        <label>
          {field.title}
          <input required value={key} list={`${id}-names`} onInput={(event) => change({ key: event.currentTarget.value })} />
        </label>
        <label>
          Comparison
          <select value={comparator} onChange={(event) => change({ comparator: event.currentTarget.value })}>
            {COMPARISONS[isMetric ? "metric" : "label"]?.map(([word, name]) => (
              <option key={word} value={word}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Value
          <input
            value={value}
            disabled={comparator.startsWith("IS")}
            list={`${id}-values`}
            inputMode={isMetric ? "decimal" : "text"}
            onInput={(event) => change({ value: event.currentTarget.value })}
          />
        </label>
      </div>
      {isMetric && <p class="hint">What is compared is the value that the metric's column shows, or else its last one.</p>}
      <datalist id={`${id}-names`}>
        {(isMetric ? (names?.metrics ?? []) : Object.keys(labels)).map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <datalist id={`${id}-values`}>
        {(isMetric ? [] : (labels[key] ?? [])).map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
    </>
  );
}

function Ways({ label, names, at, onChoose }: { label: string; names: readonly string[]; at: number; onChoose: (at: number) => void }) {
  const id = useId();
  return (
    <fieldset class="ways">
      <legend class="hidden">{label}</legend>
      {names.map((name, place) => (
        <label key={name}>
          <input type="radio" name={id} checked={at === place} onChange={() => onChoose(place)} />
          {name}
        </label>
      ))}
    </fieldset>
  );
}

const EDITORS = { choice: ChoiceEditor, text: TextEditor, time: TimeEditor, named: NamedEditor };

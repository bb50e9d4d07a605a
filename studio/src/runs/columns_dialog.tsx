// Which columns the table shows, and in which order.

import { useState } from "preact/hooks";
import type { KnownNames } from "../api/table";
import { FormDialog } from "../parts/dialog";
import type { ColumnLayout } from "../parts/table_model";
import { reordered } from "../parts/table_keys";
import { FACTS, METRIC_VALUES, titleOf, widthOf } from "./columns";
import "./columns_dialog.css";

interface Props {
  readonly layout: readonly ColumnLayout[];
  readonly names: KnownNames | undefined;
  readonly onDone: (layout: readonly ColumnLayout[]) => void;
  readonly onReset: () => void;
  readonly onClose: () => void;
}

interface Group {
  readonly title: string;
  readonly ids: readonly string[];
}

function groupsOf(names: KnownNames | undefined): Group[] {
  return [
    { title: "Run", ids: Object.keys(FACTS).filter((id) => id !== "name") },
    { title: "Parameters", ids: Object.keys(names?.params ?? {}).map((name) => `p.${name}`) },
    { title: "Tags", ids: Object.keys(names?.tags ?? {}).map((name) => `t.${name}`) },
    { title: "Metrics", ids: (names?.metrics ?? []).flatMap((name) => METRIC_VALUES.map((value) => `m.${name}.${value}`)) },
  ];
}

export function ColumnsDialog({ layout, names, onDone, onReset, onClose }: Props) {
  const [chosen, setChosen] = useState(layout);
  const [sought, setSought] = useState("");
  const words = sought.trim().toLowerCase();
  const isFit = (id: string) => longTitle(id).toLowerCase().includes(words);

  function toggle(id: string): void {
    const isThere = chosen.some((one) => one.id === id);
    setChosen(isThere ? chosen.filter((one) => one.id !== id) : [...chosen, { id, width: widthOf(id) }]);
  }

  return (
    <FormDialog title="Columns" action="Show" onSubmit={async () => onDone(chosen)} onClose={onClose}>
      <label>
        Search
        <input value={sought} onInput={(event) => setSought(event.currentTarget.value)} />
      </label>
      <div class="columns-choice">
        <div>
          {groupsOf(names).map(({ title, ids }) => (
            <Choices key={title} title={title} ids={ids.filter(isFit)} chosen={chosen} onToggle={toggle} />
          ))}
          {words && !groupsOf(names).some(({ ids }) => ids.some(isFit)) && <ByName name={sought.trim()} onAdd={toggle} />}
        </div>
        <Order chosen={chosen} onChange={setChosen} />
      </div>
      <button
        type="button"
        class="quiet"
        onClick={() => {
          onReset();
          onClose();
        }}
      >
        Back to the columns of the beginning
      </button>
    </FormDialog>
  );
}

function longTitle(id: string): string {
  return id.startsWith("m.") ? id.slice(2).replace(/\.([a-z]+)$/, " $1") : titleOf(id);
}

interface ChoicesProps extends Group {
  readonly chosen: readonly ColumnLayout[];
  readonly onToggle: (id: string) => void;
}

function Choices({ title, ids, chosen, onToggle }: ChoicesProps) {
  if (!ids.length) return null;
  return (
    <fieldset>
      <legend>{title}</legend>
      {ids.map((id) => (
        <label key={id}>
          <input type="checkbox" checked={chosen.some((one) => one.id === id)} onChange={() => onToggle(id)} />
          <span>{longTitle(id)}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** A name that none of the newest runs has. */
function ByName({ name, onAdd }: { name: string; onAdd: (id: string) => void }) {
  return (
    <p class="soft">
      None of the newest runs has it. Show{" "}
      <button type="button" onClick={() => onAdd(`m.${name}.last`)}>
        the metric
      </button>{" "}
      <button type="button" onClick={() => onAdd(`p.${name}`)}>
        the parameter
      </button>{" "}
      <button type="button" onClick={() => onAdd(`t.${name}`)}>
        the tag
      </button>{" "}
      {name} all the same
    </p>
  );
}

function Order({ chosen, onChange }: { chosen: readonly ColumnLayout[]; onChange: (layout: readonly ColumnLayout[]) => void }) {
  return (
    <section aria-label="Order of the columns">
      <h3>Order</h3>
      <ol>
        {chosen.map(({ id }, place) => (
          <li key={id}>
            <span>{longTitle(id)}</span>
            {id !== "name" && (
              <>
                <button
                  type="button"
                  class="quiet"
                  aria-label={`Move ${longTitle(id)} up`}
                  disabled={place < 2}
                  onClick={() => onChange(reordered(chosen, place, place - 1))}
                >
                  ↑
                </button>
                <button
                  type="button"
                  class="quiet"
                  aria-label={`Move ${longTitle(id)} down`}
                  disabled={place === chosen.length - 1}
                  onClick={() => onChange(reordered(chosen, place, place + 1))}
                >
                  ↓
                </button>
              </>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

// The filter over the table: a menu of fields, a line to type in, and a chip for each condition, which can be changed and taken away.

import { useId, useState } from "preact/hooks";
import type { KnownNames } from "../api/table";
import { Menu } from "../parts/menu";
import { type Clause, parseTyped, printClause } from "./filter";
import "./filter_bar.css";
import { FilterDialog } from "./filter_dialog";
import { FIELDS, type Field, fieldOf, suggestions, wordsOf } from "./words";

interface Props {
  readonly clauses: readonly Clause[];
  readonly onChange: (clauses: readonly Clause[]) => void;
  readonly names: KnownNames | undefined;
  /** Fields that make no sense here. */
  readonly without: readonly string[];
}

interface Editing {
  readonly field: Field;
  /** Which condition is changed; undefined: a new one is made. */
  readonly place: number | undefined;
}

export function FilterBar({ clauses, onChange, names, without }: Props) {
  const [editing, setEditing] = useState<Editing>();

  function put(clause: Clause, place: number | undefined): void {
    onChange(place === undefined ? [...clauses, clause] : clauses.map((one, at) => (at === place ? clause : one)));
  }

  return (
    <div class="filter" role="search" aria-label="Runs">
      <Menu
        label="Add filter"
        items={FIELDS.filter(({ id }) => !without.includes(id)).map((field) => ({
          label: field.title,
          onChoose: () => setEditing({ field, place: undefined }),
        }))}
      />
      <Typed onAdd={(added) => onChange([...clauses, ...added])} options={names ? suggestions(names) : []} />
      <Chips clauses={clauses} onChange={onChange} onEdit={setEditing} />
      {editing && (
        <FilterDialog
          field={editing.field}
          clause={editing.place === undefined ? undefined : clauses[editing.place]}
          names={names}
          onDone={(clause) => put(clause, editing.place)}
          onClose={() => setEditing(undefined)}
        />
      )}
    </div>
  );
}

function Typed({ onAdd, options }: { onAdd: (clauses: Clause[]) => void; options: readonly string[] }) {
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const id = useId();
  return (
    <form
      class="typed"
      onSubmit={(event) => {
        event.preventDefault();
        try {
          onAdd(parseTyped(text));
          setText("");
          setError("");
        } catch (failure) {
          setError(failure instanceof Error ? failure.message : String(failure));
        }
      }}
    >
      <input
        type="text"
        value={text}
        list={`${id}-options`}
        aria-label="Filter by a part of the name, or a condition"
        aria-invalid={Boolean(error)}
        aria-describedby={error ? `${id}-error` : undefined}
        placeholder="A part of the name, or a condition: metrics.loss < 0.1"
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setError("");
        }}
      />
      <datalist id={`${id}-options`}>
        {options.map((option) => (
          <option key={option} value={option} />
        ))}
      </datalist>
      {error && (
        <span class="fault" id={`${id}-error`} role="alert">
          {error}
        </span>
      )}
    </form>
  );
}

interface ChipsProps {
  readonly clauses: readonly Clause[];
  readonly onChange: (clauses: readonly Clause[]) => void;
  readonly onEdit: (editing: Editing) => void;
}

function Chips({ clauses, onChange, onEdit }: ChipsProps) {
  if (!clauses.length) return null;
  return (
    <ul class="chips" aria-label="Conditions">
      {clauses.map((clause, place) => {
        const field = fieldOf(clause);
        const words = wordsOf(clause);
        return (
          <li key={`${place} ${printClause(clause)}`} class="chip">
            {field ? (
              <button type="button" title={printClause(clause)} onClick={() => onEdit({ field, place })}>
                {words}
              </button>
            ) : (
              <span title={printClause(clause)}>{words}</span>
            )}
            <button
              type="button"
              class="away"
              aria-label={`Remove the filter ${words}`}
              onClick={() => onChange(clauses.filter((_, at) => at !== place))}
            >
              ×
            </button>
          </li>
        );
      })}
      <li>
        <button type="button" class="quiet" onClick={() => onChange([])}>
          Clear filters
        </button>
      </li>
    </ul>
  );
}

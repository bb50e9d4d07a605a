// Names with values that are typed in rows: tags, variables.

import { useRef } from "preact/hooks";
import "./act.css";

export interface PairRow {
  readonly id: number;
  readonly key: string;
  readonly value: string;
  /** Its value was not told, and has to be typed again. */
  readonly isWithheld?: boolean;
}

let count = 0;

/** The pairs as rows; `withEmpty`: with an empty one at the end. */
export function rowsOf(pairs: Readonly<Record<string, string>>, withEmpty = false, withheld: readonly string[] = []): readonly PairRow[] {
  const rows = Object.entries(pairs).map(([key, value]) => ({
    id: ++count,
    key,
    value,
    ...(withheld.includes(key) ? { isWithheld: true } : {}),
  }));
  return withEmpty ? [...rows, { id: ++count, key: "", value: "" }] : rows;
}

/** The pairs that the rows hold; rows without a name are none. */
export function pairsOf(rows: readonly PairRow[]): Record<string, string> {
  return Object.fromEntries(rows.filter((row) => row.key.trim()).map((row) => [row.key.trim(), row.value]));
}

/** What is wrong with the rows, as a sentence; empty where nothing is. */
export function whyBadPairs(rows: readonly PairRow[], what: string): string {
  const seen = new Set<string>();
  for (const { key, value, isWithheld } of rows) {
    const name = key.trim();
    if (!name && value) return `A ${what} has the value ${JSON.stringify(value)} and no name.`;
    if (name && seen.has(name)) return `There are two of the name ${name}; keep one of them.`;
    if (name && isWithheld && !value) return `The value of ${name} may be a secret and was not shown: type it again, or remove it.`;
    seen.add(name);
  }
  return "";
}

interface Props {
  readonly what: string;
  readonly rows: readonly PairRow[];
  readonly onChange: (rows: readonly PairRow[]) => void;
}

export function PairRows({ what, rows, onChange }: Props) {
  const list = useRef<HTMLDivElement>(null);
  function change(id: number, part: Partial<PairRow>): void {
    onChange(rows.map((row) => (row.id === id ? { ...row, ...part } : row)));
  }
  return (
    <div class="pair-rows" ref={list} role="group" aria-label={`${what}s`}>
      {rows.map((row, at) => (
        <div class="pair-row" key={row.id}>
          <input
            aria-label={`Name of ${what} ${at + 1}`}
            placeholder="name"
            value={row.key}
            maxLength={255}
            spellcheck={false}
            onInput={(event) => change(row.id, { key: event.currentTarget.value })}
          />
          <ValueInput row={row} label={`Value of ${row.key || `${what} ${at + 1}`}`} onValue={(value) => change(row.id, { value })} />
          <button
            type="button"
            class="quiet"
            aria-label={`Remove ${row.key || `${what} ${at + 1}`}`}
            onClick={() => onChange(rows.filter((one) => one.id !== row.id))}
          >
            ×
          </button>
        </div>
      ))}
      <button
        type="button"
        class="small"
        onClick={() => {
          onChange([...rows, { id: ++count, key: "", value: "" }]);
          setTimeout(() => list.current?.querySelector<HTMLInputElement>(".pair-row:last-of-type input")?.focus());
        }}
      >
        Add {what}
      </button>
    </div>
  );
}

function ValueInput({ row, label, onValue }: { row: PairRow; label: string; onValue: (value: string) => void }) {
  const common = {
    "aria-label": label,
    autocomplete: "off" as const,
    value: row.value,
    spellcheck: false,
    onInput: (event: { currentTarget: HTMLInputElement }) => onValue(event.currentTarget.value),
  };
  return row.isWithheld ? (
    <input {...common} type="password" placeholder="not shown; type it again" />
  ) : (
    <input {...common} placeholder="value" />
  );
}

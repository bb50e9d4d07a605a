// What is known of a row from its bytes alone, found out once for each. Pure.

import { decode } from "./decode";
import { plainText } from "./display";
import { type Label, labelOf } from "./labels";
import { fold, type Row } from "./rows";
import { type Level, levelOf, type Traceback, tracebacksOf } from "./tracebacks";

export interface Prepared {
  readonly row: Row;
  readonly label: Label | null;
  /** The text behind the label; of a progress bar, its last state. */
  readonly text: string;
  /** With all states of a progress bar. */
  readonly raw: string;
  readonly states: number;
  readonly level: Level;
}

const known = new WeakMap<Row, Prepared>();

/** `isOverall`: lines begin with labels. */
export function prepare(row: Row, isOverall: boolean): Prepared {
  const found = known.get(row);
  if (found) return found;
  const raw = decode(row.data);
  const label = isOverall && row.startsLine ? labelOf(raw.slice(0, 200)) : null;
  const behind = label?.length ?? 0;
  const folded = fold(row.data.subarray(behind));
  const text = folded.states > 1 ? decode(folded.shown) : raw.slice(behind);
  const prepared = { row, label, text, raw: raw.slice(behind), states: folded.states, level: levelOf(text) };
  known.set(row, prepared);
  return prepared;
}

/** The tracebacks among rows. */
export function unitsOf(rows: readonly Prepared[]): readonly Traceback[] {
  if (!rows.some((one) => one.level === "error" && one.text.includes("Traceback"))) return [];
  return tracebacksOf(rows.map((one) => ({ key: one.label ? `${one.label.node} ${one.label.what}` : "", text: plainText(one.text.slice(0, 2000)) })));
}

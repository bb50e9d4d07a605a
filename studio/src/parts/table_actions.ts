// What a table's keys and heads do: each asks the table's owner for a change, or moves the active cell. Made anew with each drawing.

import { HEAD_ROW, type Spot, reordered } from "./table_keys";
import type { ColumnLayout, TableProps } from "./table_model";

export type ColumnChange = "wider" | "narrower" | "left" | "right" | "hide";

/** How the table stands while it is drawn. */
export interface Standing<R> {
  readonly props: TableProps<R>;
  readonly layout: readonly ColumnLayout[];
  readonly spot: Spot;
  /** 1 where a column of checkboxes stands before the others, otherwise 0. */
  readonly first: number;
  /** The row that the last choice was of: a range begins there. */
  readonly anchor: { current: number };
  /** Makes the cell the active one and scrolls to it. */
  readonly goTo: (spot: Spot) => void;
  /** Told to those who do not see it. */
  readonly say: (words: string) => void;
  /** Clicks the first link or button in the active cell; false where it holds none. */
  readonly click: () => boolean;
}

const LEAST_PX = 48;
const STEP_PX = 24;

/** Selects a row or no longer, or all rows from the one before up to it. */
export function select<R>({ props: { rows, selected, onSelect }, anchor }: Standing<R>, row: number, isRange: boolean): void {
  if (!onSelect) return;
  const after = new Set(selected);
  const here = keyAt(rows, row);
  const isOn = here !== undefined && !after.has(here);
  const from = isRange ? Math.min(anchor.current, row) : row;
  for (let at = from; at <= (isRange ? Math.max(anchor.current, row) : row); at += 1) {
    const key = keyAt(rows, at);
    if (key === undefined) continue;
    if (isOn || isRange) after.add(key);
    else after.delete(key);
  }
  anchor.current = row;
  onSelect(after);
}

function keyAt<R>(rows: TableProps<R>["rows"], index: number): string | undefined {
  const row = rows.at(index);
  return row === undefined ? undefined : rows.keyOf(row);
}

export function sortBy<R>({ props: { columns, sort, onSort } }: Standing<R>, place: number): void {
  const column = columns[place];
  if (!column?.isSortable) return;
  const isAscending = sort?.column === column.id ? !sort.isAscending : !column.isNumeric;
  onSort?.({ column: column.id, isAscending });
}

export function changeColumn<R>(table: Standing<R>, place: number, change: ColumnChange): void {
  const { columns, onLayout } = table.props;
  const column = columns[place];
  const own = table.layout[place];
  if (!column || !own || !onLayout) return;
  if (change === "wider" || change === "narrower") {
    const width = Math.max(LEAST_PX, own.width + (change === "wider" ? STEP_PX : -STEP_PX));
    onLayout(table.layout.map((one) => (one.id === own.id ? { ...one, width } : one)));
    return table.say(`${column.title}: ${width} pixels wide`);
  }
  if (column.isFixed) return;
  if (change === "hide") {
    onLayout(table.layout.filter((one) => one.id !== own.id));
    return table.say(`${column.title} is hidden`);
  }
  const to = place + (change === "left" ? -1 : 1);
  if (!columns[to] || columns[to].isFixed) return;
  onLayout(reordered(table.layout, place, to));
  table.goTo({ row: HEAD_ROW, column: to + table.first });
  table.say(`${column.title} is column ${to + 1} of ${columns.length}`);
}

/** What a key does where the active cell is; undefined: nothing but move it. */
export function actionOf<R>(table: Standing<R>, event: KeyboardEvent): (() => void) | undefined {
  return table.spot.row === HEAD_ROW ? headAction(table, event) : rowAction(table, event);
}

function headAction<R>(table: Standing<R>, { key, ctrlKey, shiftKey }: KeyboardEvent): (() => void) | undefined {
  const place = table.spot.column - table.first;
  if (key === "Enter" || key === " ") return () => sortBy(table, place);
  if (key === "Delete") return () => changeColumn(table, place, "hide");
  if (key !== "ArrowLeft" && key !== "ArrowRight") return undefined;
  if (ctrlKey) return () => changeColumn(table, place, key === "ArrowLeft" ? "left" : "right");
  if (shiftKey) return () => changeColumn(table, place, key === "ArrowLeft" ? "narrower" : "wider");
  return undefined;
}

function rowAction<R>(table: Standing<R>, { key, shiftKey }: KeyboardEvent): (() => void) | undefined {
  const { props, spot } = table;
  const row = props.rows.at(spot.row);
  if (row === undefined) return undefined;
  const isOpen = props.rows.isOpen?.(row);
  if (key === "ArrowRight" && isOpen === false && spot.column <= table.first) return () => props.onToggle?.(row);
  if (key === "ArrowLeft" && isOpen === true && spot.column <= table.first) return () => props.onToggle?.(row);
  if (key === " " && props.onSelect) return () => select(table, spot.row, shiftKey);
  if (key === "Enter") return () => (table.click() ? undefined : props.onOpen?.(row));
  return undefined;
}

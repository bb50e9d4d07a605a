// A table of any length: only the rows that are seen are in the page. Its keys are those of a spreadsheet; the focus stays on the
// table itself, which tells the active cell. What is shown in which order is its owner's: it asks for changes.

import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import "./table.css";
import { type Standing, actionOf, select, sortBy } from "./table_actions";
import { TableHead } from "./table_head";
import { HEAD_ROW, moved, type Spot } from "./table_keys";
import { type Cells, TableRow } from "./table_row";
import { ROW_PX, useLooking, useShift, useVirtualRows, type VirtualRows } from "./table_window";

export interface Column<R> {
  readonly id: string;
  readonly title: string;
  /** CSS pixels. */
  readonly width: number;
  readonly isSortable?: boolean;
  /** Right-aligned, in figures of one width. */
  readonly isNumeric?: boolean;
  /** Stays at the left while one scrolls, and is neither moved nor hidden; only the first may be. */
  readonly isFixed?: boolean;
  /** More about it, on hover. */
  readonly hint?: string;
  readonly cell: (row: R) => ComponentChildren;
}

export interface Sort {
  readonly column: string;
  readonly isAscending: boolean;
}

/** What there is to show; another object whenever any of it has changed. */
export interface Rows<R> {
  readonly count: number;
  /** The row at a place; undefined while it is loaded. The same object as long as it looks the same. */
  readonly at: (index: number) => R | undefined;
  readonly keyOf: (row: R) => string;
  /** What a screen reader calls it. */
  readonly nameOf: (row: R) => string;
  /** Of a tree: how deep the row is, from 1, and whether what is below it is shown; undefined: nothing is. */
  readonly levelOf?: (row: R) => number;
  readonly isOpen?: (row: R) => boolean | undefined;
}

export interface ColumnLayout {
  readonly id: string;
  readonly width: number;
}

export interface TableProps<R> {
  readonly label: string;
  readonly columns: readonly Column<R>[];
  readonly rows: Rows<R>;
  /** Rows [start, end) are looked at. */
  readonly onLook?: (start: number, end: number) => void;
  readonly sort?: Sort | undefined;
  readonly onSort?: (sort: Sort) => void;
  /** Columns were moved, resized or hidden: those that are left, in their order. */
  readonly onLayout?: (columns: readonly ColumnLayout[]) => void;
  readonly selected?: ReadonlySet<string>;
  readonly onSelect?: (selected: ReadonlySet<string>) => void;
  /** Enter on a row's name, where the cell holds no link of its own. */
  readonly onOpen?: (row: R) => void;
  readonly onToggle?: (row: R) => void;
  /** By how many rows what is looked at has moved since `rows` were others: the table scrolls along, and nothing jumps. */
  readonly shift?: { readonly by: number };
}

const HEAD_PX = 34;
const CHOICE_PX = 36;
const SCROLLBAR_PX = 20;
// On a narrow screen the first column leaves room for others.
const NARROW_PX = 640;
const NARROW_FIRST_PX = 190;

export function Table<R>(props: TableProps<R>) {
  const { columns, rows, onSelect } = props;
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  const [active, setActive] = useState<Spot>({ row: 0, column: 0 });
  const [sizing, setSizing] = useState<ColumnLayout>();
  const [said, say] = useState("");
  const anchor = useRef(0);
  const first = onSelect ? 1 : 0;
  const spot = { row: Math.min(active.row, rows.count - 1), column: Math.min(active.column, columns.length - 1 + first) };
  const virtual = useVirtualRows(box, rows.count);
  useLooking(virtual.seen, props.onLook);
  useShift(box, props.shift);
  useLayoutEffect(() => {
    elementIn(box.current, cellId(id, spot))?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [active]);

  const layout = columns.map((column) => ({ id: column.id, width: sizing?.id === column.id ? sizing.width : column.width }));
  const table: Standing<R> = {
    ...{ props, layout, spot, first, anchor, setActive, say },
    click: () => click(elementIn(box.current, cellId(id, spot))),
  };
  const cells = useCells(id, table);
  const measures = measuresOf(table);

  function onKeyDown(event: KeyboardEvent): void {
    if (event.target !== box.current) return;
    const action = actionOf(table, event);
    if (action) {
      event.preventDefault();
      return action();
    }
    if (event.altKey || event.shiftKey) return;
    const page = Math.max(1, Math.floor(((box.current?.clientHeight ?? 0) - HEAD_PX) / ROW_PX) - 1);
    const size = { rows: rows.count, columns: columns.length + first, page };
    const to = moved(spot, event.key, event.ctrlKey || event.metaKey, size);
    if (!to) return;
    event.preventDefault();
    reveal(box.current, to.row);
    setActive(to);
  }

  return (
    <>
      <div
        ref={box}
        class="grid"
        role={rows.levelOf ? "treegrid" : "grid"}
        tabIndex={0}
        aria-label={props.label}
        aria-rowcount={rows.count + 1}
        aria-colcount={columns.length + first}
        aria-multiselectable={onSelect ? true : undefined}
        aria-activedescendant={cellId(id, spot)}
        aria-describedby={`${id}-hint`}
        onKeyDown={onKeyDown}
        style={measures.style}
      >
        <TableHead
          table={props}
          cells={cells}
          layout={layout}
          active={spot.row === HEAD_ROW ? spot.column : undefined}
          onSort={(place) => sortBy(table, place)}
          onSizing={setSizing}
        />
        <Body table={table} cells={cells} virtual={virtual} width={measures.width} />
      </div>
      <span id={`${id}-hint`} class="hidden">
        Arrow keys move between cells. In a column's head Enter sorts, Control with an arrow moves the column, Shift with an arrow
        changes its width, Delete hides it. In a row Enter opens{onSelect ? ", the space bar selects, with Shift all rows between" : ""}.
      </span>
      <span class="hidden" role="status">
        {said}
      </span>
    </>
  );
}

interface BodyProps<R> {
  readonly table: Standing<R>;
  readonly cells: Cells;
  readonly virtual: VirtualRows;
  /** Of all columns, in CSS pixels. */
  readonly width: number;
}

/** The rows that are in the page: those that are seen, and the active one, which screen readers are told of wherever it is. */
function Body<R>({ table: { props, spot }, cells, virtual: { seen, slotOf }, width }: BodyProps<R>) {
  const { rows, selected, onSelect } = props;
  const isSeen = spot.row < 0 || seen.includes(spot.row);
  const items = isSeen ? seen : [...seen, spot.row].sort((one, other) => one - other);
  return (
    <div class="grid-body" role="rowgroup" style={{ height: `${rows.count * ROW_PX}px`, width: `max(100%, ${width}px)` }}>
      {items.map((index) => {
        const row = rows.at(index);
        const key = row === undefined ? undefined : rows.keyOf(row);
        return (
          <TableRow
            key={index === spot.row && !isSeen ? "active" : slotOf(index)}
            index={index}
            row={row}
            name={row === undefined ? "" : rows.nameOf(row)}
            level={row === undefined ? undefined : rows.levelOf?.(row)}
            isOpen={row === undefined ? undefined : rows.isOpen?.(row)}
            columns={props.columns as readonly Column<unknown>[]}
            isSelected={onSelect ? key !== undefined && Boolean(selected?.has(key)) : undefined}
            active={spot.row === index ? spot.column : undefined}
            cells={cells}
          />
        );
      })}
    </div>
  );
}

/** What cells do, as one object for as long as the table is there: rows are not made again because it is another one. */
function useCells<R>(id: string, table: Standing<R>): Cells {
  const latest = useRef(table);
  latest.current = table;
  const [cells] = useState<Cells>(() => ({
    id,
    first: table.first,
    onActivate: (to) => latest.current.setActive(to),
    onChoose: (row, isRange) => select(latest.current, row, isRange),
    toggle: (at) => {
      const row = latest.current.props.rows.at(at);
      if (row !== undefined) latest.current.props.onToggle?.(row);
    },
  }));
  return cells;
}

function measuresOf<R>({ props: { columns, rows }, layout, first }: Standing<R>) {
  const widths = layout.map((one, place) => (columns[place]?.isFixed && innerWidth < NARROW_PX ? Math.min(one.width, NARROW_FIRST_PX) : one.width));
  const width = widths.reduce((sum, one) => sum + one, first * CHOICE_PX);
  const style = {
    "--columns": [...(first ? [`${CHOICE_PX}px`] : []), ...widths.map((one) => `${one}px`)].join(" "),
    "--width": `${width}px`,
    "--content": rows.count ? `${HEAD_PX + rows.count * ROW_PX + SCROLLBAR_PX}px` : null,
    "--left": `${first * CHOICE_PX}px`,
    "--pinned": `${first * CHOICE_PX + (columns[0]?.isFixed ? (widths[0] ?? 0) : 0)}px`,
  };
  return { width, style };
}

/** The id of a cell in the page. */
export function cellId(table: string, { row, column }: Spot): string {
  return `${table}-${row}-${column}`;
}

/** An element of the document, or of the shadow tree, that the table is in. */
function elementIn(box: HTMLElement | null, id: string): HTMLElement | null {
  return box ? (box.getRootNode() as Document | ShadowRoot).getElementById(id) : null;
}

/** Clicks the first link or button in a cell; false where it holds none. */
function click(cell: HTMLElement | null): boolean {
  const found = cell?.querySelector<HTMLElement>("a, button, input");
  found?.click();
  return Boolean(found);
}

function reveal(box: HTMLElement | null, row: number): void {
  if (!box || row < 0) return;
  const top = row * ROW_PX;
  const seen = box.clientHeight - HEAD_PX;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW_PX > box.scrollTop + seen) box.scrollTop = top + ROW_PX - seen;
}

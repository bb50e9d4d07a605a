// A table of any length: only the rows that are seen are in the page. Its keys are those of a spreadsheet; the focus stays on the
// table itself, which tells the active cell. What is shown in which order is its owner's: it asks for changes.

import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import "./table.css";
import { type Standing, actionOf, select, sortBy } from "./table_actions";
import { TableHead } from "./table_head";
import { HEAD_ROW, cellId, moved, type Spot } from "./table_keys";
import type { Column, ColumnLayout, TableProps } from "./table_model";
import { type Cells, TableRow } from "./table_row";
import { ROW_PX, useLooking, useShift, useVirtualRows, type VirtualRows } from "./table_window";

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
  const isFollowed = useRef(false);
  const [sizing, setSizing] = useState<ColumnLayout>();
  const [said, say] = useState("");
  const anchor = useRef(0);
  const first = onSelect ? 1 : 0;
  const spot = { row: Math.min(active.row, rows.count - 1), column: Math.min(active.column, columns.length - 1 + first) };
  const virtual = useVirtualRows(box, rows.count);
  useLooking(virtual.seen, props.onLook);
  useShift(box, props.shift);
  useLayoutEffect(() => {
    // Not where the pointer went: what it presses would move away from under it, and a click needs both press and release.
    if (isFollowed.current) elementIn(box.current, cellId(id, spot))?.scrollIntoView({ block: "nearest", inline: "nearest" });
    isFollowed.current = false;
  }, [active]);

  const layout = columns.map((column) => ({ id: column.id, width: sizing?.id === column.id ? sizing.width : column.width }));
  function goTo(to: Spot): void {
    isFollowed.current = true;
    setActive(to);
  }

  const table: Standing<R> = {
    ...{ props, layout, spot, first, anchor, goTo, say },
    click: () => click(elementIn(box.current, cellId(id, spot))),
  };
  const cells = useCells(id, table, setActive);
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
    goTo(to);
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
function useCells<R>(id: string, table: Standing<R>, onActivate: (to: Spot) => void): Cells {
  const latest = useRef(table);
  latest.current = table;
  const [cells] = useState<Cells>(() => ({
    id,
    first: table.first,
    onActivate,
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

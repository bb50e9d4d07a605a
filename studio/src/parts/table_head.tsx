// The head of a table: sorts by a click, moves columns by dragging them, and resizes them by their right edge.

import { useRef, useState } from "preact/hooks";
import { HEAD_ROW, cellId, reordered } from "./table_keys";
import type { Column, ColumnLayout, TableProps } from "./table_model";
import type { Cells } from "./table_row";

interface HeadProps<R> {
  readonly table: TableProps<R>;
  readonly cells: Cells;
  readonly layout: readonly ColumnLayout[];
  readonly active: number | undefined;
  readonly onSort: (place: number) => void;
  /** A width while its edge is dragged; undefined when it is let go. */
  readonly onSizing: (layout: ColumnLayout | undefined) => void;
}

interface Drag {
  readonly from: number;
  readonly startX: number;
  readonly to: number | undefined;
}

const DRAG_PX = 6;
const LEAST_PX = 48;
const MOST_PX = 1200;

export function TableHead<R>({ table, cells, layout, active, onSort, onSizing }: HeadProps<R>) {
  const [drag, setDrag] = useState<Drag>();
  const wasDragged = useRef(false);
  const row = useRef<HTMLDivElement>(null);
  const { columns, sort, onLayout } = table;

  function moveTo(event: PointerEvent): void {
    if (!drag || (drag.to === undefined && Math.abs(event.clientX - drag.startX) < DRAG_PX)) return;
    wasDragged.current = true;
    setDrag({ ...drag, to: placeAt(row.current, event.clientX, columns) ?? drag.from });
  }

  function drop(): void {
    if (drag?.to !== undefined && drag.to !== drag.from) onLayout?.(reordered(layout, drag.from, drag.to));
    setDrag(undefined);
  }

  function begin(event: PointerEvent, from: number): void {
    wasDragged.current = false;
    if (event.button !== 0 || event.pointerType === "touch" || columns[from]?.isFixed || !onLayout) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    setDrag({ from, startX: event.clientX, to: undefined });
  }

  function look(place: number, column: Column<R>): string {
    const marks = [column.isNumeric ? "numeric" : "", column.isFixed ? "pinned" : ""];
    if (active === place + cells.first) marks.push("active");
    if (drag?.to !== undefined && drag.from === place) marks.push("dragged");
    if (drag?.to === place && drag.from !== place) marks.push(drag.to > drag.from ? "target after" : "target");
    return marks.join(" ");
  }

  return (
    <div class="grid-head" role="rowgroup">
      <div ref={row} class="grid-row" role="row" aria-rowindex={1}>
        {cells.first === 1 && <ChooseAll table={table} cells={cells} isActive={active === 0} />}
        {columns.map((column, place) => (
          <div
            key={column.id}
            id={cellId(cells.id, { row: HEAD_ROW, column: place + cells.first })}
            role="columnheader"
            aria-colindex={place + cells.first + 1}
            aria-sort={sort?.column !== column.id ? undefined : sort.isAscending ? "ascending" : "descending"}
            class={`grid-cell ${look(place, column)}`}
            data-place={place}
            onMouseDown={() => cells.onActivate({ row: HEAD_ROW, column: place + cells.first })}
          >
            <button
              type="button"
              tabIndex={-1}
              title={column.hint ?? column.title}
              aria-disabled={!column.isSortable}
              onClick={() => wasDragged.current || onSort(place)}
              onPointerDown={(event) => begin(event, place)}
              onPointerMove={moveTo}
              onPointerUp={drop}
              onPointerCancel={() => setDrag(undefined)}
            >
              <span>{column.title}</span>
              {sort?.column === column.id && (
                <span class="arrow" aria-hidden="true">
                  {sort.isAscending ? "▲" : "▼"}
                </span>
              )}
            </button>
            {onLayout && <Grip layout={layout} place={place} onLayout={onLayout} onSizing={onSizing} />}
          </div>
        ))}
      </div>
    </div>
  );
}

function ChooseAll<R>({ table, cells, isActive }: { table: TableProps<R>; cells: Cells; isActive: boolean }) {
  const { rows, selected, onSelect } = table;
  const isSome = Boolean(selected?.size);
  function choose(): void {
    const after = new Set<string>();
    for (let at = 0; !isSome && at < rows.count; at += 1) {
      const row = rows.at(at);
      if (row !== undefined) after.add(rows.keyOf(row));
    }
    onSelect?.(after);
  }
  return (
    <div
      id={cellId(cells.id, { row: HEAD_ROW, column: 0 })}
      role="columnheader"
      aria-colindex={1}
      class={`grid-cell choice ${isActive ? "active" : ""}`}
    >
      <input
        type="checkbox"
        tabIndex={-1}
        checked={isSome}
        aria-label={isSome ? "Select none" : "Select all that are loaded"}
        title={isSome ? "Select none" : "Select all that are loaded"}
        onClick={choose}
      />
    </div>
  );
}

interface GripProps {
  readonly layout: readonly ColumnLayout[];
  readonly place: number;
  readonly onLayout: (columns: readonly ColumnLayout[]) => void;
  readonly onSizing: (layout: ColumnLayout | undefined) => void;
}

/** The right edge of a column's head; keys do the same in the head itself. */
function Grip({ layout, place, onLayout, onSizing }: GripProps) {
  const start = useRef<{ readonly x: number; readonly width: number } | undefined>(undefined);
  const own = layout[place];
  if (!own) return null;
  const widthAt = (x: number, from: { readonly x: number; readonly width: number }) =>
    Math.round(Math.max(LEAST_PX, Math.min(MOST_PX, from.width + x - from.x)));
  return (
    <span
      class="grip"
      aria-hidden="true"
      onPointerDown={(event) => {
        event.preventDefault();
        event.currentTarget.setPointerCapture(event.pointerId);
        start.current = { x: event.clientX, width: own.width };
      }}
      onPointerMove={(event) => {
        if (start.current) onSizing({ id: own.id, width: widthAt(event.clientX, start.current) });
      }}
      onPointerUp={(event) => {
        const from = start.current;
        start.current = undefined;
        onSizing(undefined);
        if (!from || event.clientX === from.x) return;
        const width = widthAt(event.clientX, from);
        onLayout(layout.map((one) => (one.id === own.id ? { ...one, width } : one)));
      }}
    />
  );
}

/** The place of the column at a horizontal position; never that of a fixed one. */
function placeAt<R>(row: HTMLElement | null, x: number, columns: readonly Column<R>[]): number | undefined {
  for (const cell of row?.querySelectorAll<HTMLElement>("[data-place]") ?? []) {
    const { left, right } = cell.getBoundingClientRect();
    const place = Number(cell.dataset["place"]);
    if (x >= left && x < right && !columns[place]?.isFixed) return place;
  }
  return undefined;
}

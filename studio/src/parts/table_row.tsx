import { Component, createRef } from "preact";
import { type Spot, cellId } from "./table_keys";
import type { Column } from "./table_model";
import { ROW_PX } from "./table_window";

/** What cells do, and how they are called. */
export interface Cells {
  readonly id: string;
  /** 1 where a column of checkboxes stands before the others, otherwise 0. */
  readonly first: number;
  readonly onActivate: (spot: Spot) => void;
  readonly onChoose: (row: number, isRange: boolean) => void;
  readonly toggle: (row: number) => void;
}

interface RowProps {
  readonly index: number;
  readonly row: unknown;
  readonly name: string;
  readonly level: number | undefined;
  readonly isOpen: boolean | undefined;
  readonly columns: readonly Column<unknown>[];
  readonly isSelected: boolean | undefined;
  /** The active column, where it is this row's. */
  readonly active: number | undefined;
  readonly cells: Cells;
}

/** One row. Made again only when something of it has changed: a table that scrolls shows dozens in each frame. */
export class TableRow extends Component<RowProps> {
  private readonly element = createRef<HTMLDivElement>();

  override shouldComponentUpdate(next: RowProps): boolean {
    return (Object.keys(next) as (keyof RowProps)[]).some((name) => next[name] !== this.props[name]);
  }

  override componentDidUpdate(before: RowProps): void {
    // The element shows another row now: what one had gone into is not there any more.
    const focused = document.activeElement;
    if (before.index !== this.props.index && focused instanceof HTMLElement && this.element.current?.contains(focused)) focused.blur();
  }

  override render({ index, row, columns, isSelected, cells, level, isOpen }: RowProps) {
    return (
      <div
        ref={this.element}
        class="grid-row"
        role="row"
        aria-rowindex={index + 2}
        aria-selected={isSelected}
        aria-level={level}
        aria-expanded={isOpen}
        aria-busy={row === undefined ? true : undefined}
        style={{ transform: `translateY(${index * ROW_PX}px)` }}
        onMouseDown={this.activate}
      >
        {cells.first === 1 && this.choice()}
        {columns.map((column, place) => this.cell(column, place))}
      </div>
    );
  }

  private readonly activate = (event: MouseEvent): void => {
    const cell = event.target instanceof Element ? event.target.closest('[role="gridcell"]') : null;
    if (cell) this.props.cells.onActivate({ row: this.props.index, column: Number(cell.getAttribute("aria-colindex")) - 1 });
  };

  private choice() {
    const { index, row, name, isSelected, cells } = this.props;
    return (
      <div {...this.place(0)} class={`grid-cell choice ${this.activeClass(0)}`}>
        {row !== undefined && (
          <input
            type="checkbox"
            tabIndex={-1}
            aria-label={`Select ${name}`}
            checked={isSelected ?? false}
            onClick={(event) => cells.onChoose(index, event.shiftKey)}
          />
        )}
      </div>
    );
  }

  private cell(column: Column<unknown>, place: number) {
    const { index, row, level, isOpen, cells } = this.props;
    const at = place + cells.first;
    const classes = `grid-cell ${column.isNumeric ? "numeric" : ""} ${column.isFixed ? "pinned" : ""} ${this.activeClass(at)}`;
    return (
      <div {...this.place(at)} key={column.id} class={classes}>
        {place === 0 && level !== undefined && (
          <Fold level={level} isOpen={isOpen} name={this.props.name} onToggle={() => cells.toggle(index)} />
        )}
        {row === undefined ? <span class="pending" /> : column.cell(row)}
      </div>
    );
  }

  private place(column: number) {
    const { cells, index } = this.props;
    return {
      // Only the active one is ever pointed to.
      id: this.props.active === column ? cellId(cells.id, { row: index, column }) : undefined,
      role: "gridcell" as const,
      "aria-colindex": column + 1,
    };
  }

  private activeClass(column: number): string {
    return this.props.active === column ? "active" : "";
  }
}

interface FoldProps {
  readonly level: number;
  readonly isOpen: boolean | undefined;
  readonly name: string;
  readonly onToggle: () => void;
}

function Fold({ level, isOpen, name, onToggle }: FoldProps) {
  const style = { marginLeft: `${(level - 1) * 18 - 6}px` };
  if (isOpen === undefined) return <span class="fold" style={style} />;
  return (
    <span
      class={`fold parent ${isOpen ? "open" : ""}`}
      style={style}
      title={isOpen ? `Hide what is below ${name}` : `Show what is below ${name}`}
      onClick={onToggle}
    />
  );
}

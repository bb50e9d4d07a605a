// What a table is given, and what it asks its owner for.

import type { ComponentChildren } from "preact";

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

// Rows of the table as a tree whose parts are loaded when they are looked at: a level has pages of rows, and what is open in it has a
// level of its own. Pure.

import type { TableRun } from "../api/table";

export const PAGE = 100;
const MOST_PAGES = 60;

export class Level {
  total: number;
  readonly pages = new Map<number, readonly TableRun[]>();
  /** Pages that may have changed since they were loaded. */
  readonly stale = new Set<number>();
  readonly open = new Map<string, { index: number; readonly level: Level }>();

  constructor(
    readonly parent: string | null,
    total = 0,
  ) {
    this.total = total;
  }

  at(index: number): TableRun | undefined {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** A page has come. What of it looks as before stays the same object, so that nothing is drawn again. */
  put(page: number, runs: readonly TableRun[], total: number): void {
    const before = new Map((this.pages.get(page) ?? []).map((run) => [run.run_id, run]));
    const kept = runs.map((run) => {
      const known = before.get(run.run_id);
      return known && JSON.stringify(known) === JSON.stringify(run) ? known : run;
    });
    this.total = total;
    this.pages.delete(page);
    this.pages.set(page, kept);
    this.stale.delete(page);
    for (const [at, run] of kept.entries()) {
      const opened = this.open.get(run.run_id);
      if (opened) opened.index = page * PAGE + at;
    }
    for (const other of this.pages.keys()) {
      if (this.pages.size <= MOST_PAGES) break;
      if (Math.abs(other - page) > 3) this.pages.delete(other);
    }
  }

  /** Everything that is kept may have changed. */
  age(): void {
    for (const page of this.pages.keys()) this.stale.add(page);
    for (const { level } of this.open.values()) level.age();
  }

  /** All rows that are kept, those that are open below them, too. */
  *kept(): Generator<TableRun> {
    for (const runs of this.pages.values()) yield* runs;
    for (const { level } of this.open.values()) yield* level.kept();
  }

  /** How many rows there are with those that are open below them. */
  get length(): number {
    let sum = this.total;
    for (const { level } of this.open.values()) sum += level.length;
    return sum;
  }
}

export interface Place {
  readonly level: Level;
  readonly index: number;
  /** From 1. */
  readonly depth: number;
}

/** Where the row stands that is shown at `at`. */
export function locate(level: Level, at: number, depth = 1): Place {
  let shift = 0;
  for (const opened of [...level.open.values()].sort((one, other) => one.index - other.index)) {
    const first = opened.index + 1 + shift;
    if (at < first) break;
    const length = opened.level.length;
    if (at < first + length) return locate(opened.level, at - first, depth + 1);
    shift += length;
  }
  return { level, index: at - shift, depth };
}

/** The pages in which the rows [start, end) lie. */
export function pagesOf(root: Level, start: number, end: number): { level: Level; page: number }[] {
  const found = new Map<Level, Set<number>>();
  for (let at = start; at < Math.min(end, root.length); at += 1) {
    const { level, index } = locate(root, at);
    const pages = found.get(level) ?? new Set<number>();
    found.set(level, pages.add(Math.floor(index / PAGE)));
  }
  return [...found].flatMap(([level, pages]) => [...pages].map((page) => ({ level, page })));
}

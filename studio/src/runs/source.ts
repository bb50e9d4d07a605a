// The rows of one table of runs, loaded as they are looked at, and asked for again every few seconds while they are seen. What is
// looked at stays where it is when rows come before it.

import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { type TablePart, type TableQuery, type TableRun, queryRuns } from "../api/table";
import type { Rows } from "../parts/table_model";
import { Level, PAGE, type Place, locate, pagesOf } from "./tree";

const EVERY_MS = 4000;
const RETRY_MS = 2000;
const MOST_AT_ONCE = 2;
/** So far a row is looked for that rows before it have moved. */
const NEAR = 200;

/** A run as the table shows it. */
export interface ShownRun {
  readonly run: TableRun;
  readonly depth: number;
  /** undefined: it has no children. */
  readonly isOpen: boolean | undefined;
  readonly isBest: boolean;
}

export class RunSource {
  private readonly root = new Level(null);
  /** What the table shows; another object after each change. */
  readonly rows = signal<Rows<ShownRun>>(this.rowsNow());
  readonly total = signal<number | undefined>(undefined);
  /** Why nothing can be shown: the filter is none, say. */
  readonly error = signal<string | undefined>(undefined);
  readonly shift = signal({ by: 0 });
  /** Whether the first rows have come, or it is known why they do not. */
  readonly settled = signal(false);
  private readonly bestOf = new Map<string, string | null>();
  private readonly shown = new WeakMap<TableRun, ShownRun>();
  private readonly abort = new AbortController();
  private readonly inFlight = new Map<string, AbortController>();
  private seen = { start: 0, end: 1 };
  private isFresh = true;
  private timer = 0;

  /** `query` is asked for each request anew: its lengths of time become moments. */
  constructor(private readonly query: () => TableQuery) {
    document.addEventListener("visibilitychange", this.onVisible);
    void this.refresh();
  }

  stop(): void {
    this.abort.abort();
    for (const one of this.inFlight.values()) one.abort();
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  /** Rows [start, end) are looked at. */
  readonly look = (start: number, end: number): void => {
    this.seen = { start, end };
    this.pump();
  };

  readonly toggle = ({ run }: ShownRun): void => {
    const place = this.find(run.run_id);
    if (!place || !run.child_count) return;
    const { open } = place.level;
    if (!open.delete(run.run_id)) open.set(run.run_id, { index: place.index, level: new Level(run.run_id, run.child_count) });
    this.publish();
    this.pump();
  };

  /** The runs with these ids as they are now, as far as they are loaded. */
  loaded(ids: { has(run_id: string): boolean }): Map<string, TableRun> {
    const found = new Map<string, TableRun>();
    for (const run of this.root.kept()) if (ids.has(run.run_id)) found.set(run.run_id, run);
    return found;
  }

  /** Asks again for all that is seen, and shows it at once. */
  readonly refresh = async (): Promise<void> => {
    clearTimeout(this.timer);
    let waitMs = EVERY_MS;
    try {
      const wanted = this.isFresh ? [{ level: this.root, page: 0 }] : pagesOf(this.root, this.seen.start, this.seen.end);
      if (!wanted.some(({ level }) => level === this.root)) wanted.push({ level: this.root, page: 0 });
      const parts = await Promise.all(wanted.map(({ level, page }) => this.ask(level, page, this.abort.signal)));
      this.root.age();
      const anchor = this.anchor();
      for (const [at, { level, page }] of wanted.entries()) this.put(level, page, parts[at]);
      this.isFresh = false;
      this.error.value = undefined;
      this.publish(anchor);
      this.settled.value = true;
      this.pump();
    } catch (failure) {
      if (this.abort.signal.aborted) return;
      waitMs = RETRY_MS;
      this.fail(failure);
    }
    this.timer = window.setTimeout(() => void (document.hidden ? 0 : this.refresh()), waitMs);
  };

  private readonly onVisible = (): void => {
    if (!document.hidden) void this.refresh();
  };

  /** Loads what is seen and not there, or may have changed: the newest wish first, and nothing that nobody looks at any more. */
  private pump(): void {
    if (this.isFresh || this.abort.signal.aborted) return;
    const wanted = pagesOf(this.root, this.seen.start, this.seen.end);
    const names = new Set(wanted.map(nameOf));
    for (const [name, request] of this.inFlight) if (!names.has(name)) request.abort();
    for (const { level, page } of wanted) {
      if (this.inFlight.size >= MOST_AT_ONCE) return;
      const name = nameOf({ level, page });
      const isThere = level.pages.has(page) && !level.stale.has(page);
      if (!isThere && !this.inFlight.has(name)) void this.load(level, page, name);
    }
  }

  private async load(level: Level, page: number, name: string): Promise<void> {
    const abort = new AbortController();
    this.inFlight.set(name, abort);
    try {
      this.put(level, page, await this.ask(level, page, abort.signal));
      this.publish();
    } catch (failure) {
      if (!abort.signal.aborted) this.fail(failure);
      if (!abort.signal.aborted) await new Promise((done) => setTimeout(done, RETRY_MS));
    } finally {
      this.inFlight.delete(name);
      this.pump();
    }
  }

  private ask(level: Level, page: number, signal: AbortSignal): Promise<TablePart> {
    return queryRuns(this.query(), level.parent, page * PAGE, PAGE, signal);
  }

  private put(level: Level, page: number, part: TablePart | undefined): void {
    if (!part) return;
    level.put(page, part.runs, part.total);
    for (const run of part.runs) if (run.child_count) this.bestOf.set(run.run_id, run.best_run_id);
  }

  private fail(failure: unknown): void {
    const isRefused = failure instanceof ApiError && failure.status >= 400 && failure.status < 500;
    if (!isRefused && !this.isFresh) return;
    this.error.value = failure instanceof Error ? failure.message : String(failure);
    this.settled.value = true;
  }

  private publish(anchor?: { readonly run_id: string; readonly at: number }): void {
    const moved = anchor ? this.movedBy(anchor) : 0;
    if (moved) this.shift.value = { by: moved };
    this.total.value = this.root.total;
    this.rows.value = this.rowsNow();
  }

  /** The first row that is seen; none at the top, where what is new is to be seen. */
  private anchor(): { readonly run_id: string; readonly at: number } | undefined {
    const overscan = 8;
    if (this.seen.start === 0) return undefined;
    const at = this.seen.start + overscan;
    const row = this.at(at);
    return row && { run_id: row.run.run_id, at };
  }

  private movedBy({ run_id, at }: { readonly run_id: string; readonly at: number }): number {
    for (let by = 0; by <= NEAR; by += 1) {
      if (this.at(at + by)?.run.run_id === run_id) return by;
      if (at - by >= 0 && this.at(at - by)?.run.run_id === run_id) return -by;
    }
    return 0;
  }

  private find(run_id: string): Place | undefined {
    for (let at = Math.max(0, this.seen.start - NEAR); at < Math.min(this.root.length, this.seen.end + NEAR); at += 1) {
      const place = locate(this.root, at);
      if (place.level.at(place.index)?.run_id === run_id) return place;
    }
    return undefined;
  }

  private at(at: number): ShownRun | undefined {
    if (at >= this.root.length) return undefined;
    const { level, index, depth } = locate(this.root, at);
    const run = level.at(index);
    if (!run) return undefined;
    const isOpen = run.child_count ? level.open.has(run.run_id) : undefined;
    const isBest = level.parent !== null && this.bestOf.get(level.parent) === run.run_id;
    const before = this.shown.get(run);
    if (before && before.isOpen === isOpen && before.depth === depth && before.isBest === isBest) return before;
    const now = { run, depth, isOpen, isBest };
    this.shown.set(run, now);
    return now;
  }

  private rowsNow(): Rows<ShownRun> {
    return {
      count: this.root.length,
      at: (index) => this.at(index),
      keyOf: ({ run }) => run.run_id,
      nameOf: ({ run }) => run.name || run.run_id,
      levelOf: ({ depth }) => depth,
      isOpen: ({ isOpen }) => isOpen,
    };
  }
}

function nameOf({ level, page }: { level: Level; page: number }): string {
  return `${level.parent ?? ""}/${page}`;
}

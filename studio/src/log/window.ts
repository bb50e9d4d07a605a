// The part of a file that is on the page as rows: it is put anywhere in the file at once, grows at both ends while one scrolls, and
// forgets what is far away. Reads through a function of its caller; tells its caller of every change.

import { LOOK_BACK_BYTES, PIECE_BYTES, type Row, rowStart, rowsOf } from "./rows";
import type { Reading } from "./run_file";

export const STEP_BYTES = 64 * 1024;
export const STEP_ROWS = 300;
export const MOST_ROWS = 1500;
/** Where one has just come to, more than is seen at first would only be waited for. */
const FIRST_ROWS = 120;
/** While the end is followed, so many are enough. */
const FOLLOWED_ROWS = 200;

export type ReadBytes = (start: number, end: number, signal?: AbortSignal) => Promise<Reading>;

export class LogWindow {
  rows: readonly Row[] = [];
  size = 0;
  /** The number of the first row's line, from 1; undefined where it is not known. */
  firstLine: number | undefined = 1;
  error: Error | undefined;
  isLoading = false;
  private abort = new AbortController();
  private busy: Promise<void> = Promise.resolve();
  private lastJump: () => Promise<void> = () => this.jumpToEnd();

  constructor(
    private readonly read: ReadBytes,
    private readonly changed: () => void,
  ) {}

  get start(): number {
    return this.rows[0]?.start ?? 0;
  }

  get end(): number {
    return this.rows.at(-1)?.end ?? 0;
  }

  get isAtStart(): boolean {
    return this.start === 0;
  }

  get isAtEnd(): boolean {
    return this.end >= this.size;
  }

  /** Tries again what has failed. */
  retry(): void {
    if (!this.error) return;
    if (this.rows.length) void this.extendDown();
    else void this.lastJump();
  }

  /** Rows around the byte at `at`, from some rows before it on. */
  jump(at: number): Promise<void> {
    this.abort.abort();
    this.abort = new AbortController();
    this.lastJump = () => this.jump(at);
    const place = Math.max(0, Math.min(at, this.size - 1));
    return this.inTurn(async (signal) => {
      const { start, startsLine } = await this.startAt(place, signal);
      const below = await this.below(start, startsLine, signal, FIRST_ROWS);
      const above = await this.above(start, signal, FIRST_ROWS);
      this.firstLine = (above[0]?.start ?? start) === 0 ? 1 : undefined;
      this.rows = [...above, ...below];
    });
  }

  /** The last rows of the file. */
  jumpToEnd(): Promise<void> {
    this.abort.abort();
    this.abort = new AbortController();
    this.lastJump = () => this.jumpToEnd();
    return this.inTurn(async (signal) => {
      const rows = await this.above(this.size, signal, FIRST_ROWS);
      this.firstLine = (rows[0]?.start ?? 0) === 0 ? 1 : undefined;
      this.rows = rows;
    });
  }

  /** More rows below. */
  extendDown(): Promise<void> {
    return this.inTurn((signal) => this.readDown(MOST_ROWS, signal));
  }

  /** More rows above. */
  extendUp(): Promise<void> {
    return this.inTurn(async (signal) => {
      if (this.isAtStart) return;
      const above = await this.above(this.start, signal);
      if (this.firstLine !== undefined) this.firstLine -= linesIn(above);
      else if (above[0]?.start === 0) this.firstLine = 1;
      this.rows = [...above, ...this.rows].slice(0, MOST_ROWS);
    });
  }

  /** The file is `size` bytes long now. With `isFollowed`, its last rows are shown. */
  async grown(size: number, isFollowed: boolean): Promise<void> {
    if (size < this.size) {
      this.size = size;
      return this.jumpToEnd();
    }
    const wasAtEnd = this.isAtEnd;
    this.size = size;
    if (isFollowed && size - this.end > 4 * STEP_BYTES) return this.jumpToEnd();
    if (isFollowed) await this.followDown();
    else if (wasAtEnd && this.rows.length < STEP_ROWS) return this.extendDown();
    else this.changed();
  }

  /** All that has come, drawn at once. */
  private followDown(): Promise<void> {
    return this.inTurn(async (signal) => {
      for (let end = -1; this.end > end && !this.isAtEnd && !signal.aborted; ) {
        end = this.end;
        await this.readDown(FOLLOWED_ROWS, signal);
      }
    });
  }

  private async readDown(most: number, signal: AbortSignal): Promise<void> {
    if (this.isAtEnd) return;
    const kept = this.settled();
    const last = kept.at(-1);
    const rows = await this.below(last?.end ?? this.start, last?.endsLine ?? this.rows[0]?.startsLine ?? true, signal);
    this.keepLast([...kept, ...rows], most);
  }

  dispose(): void {
    this.abort.abort();
  }

  /** The rows without one at the end of the file that may still grow. */
  private settled(): readonly Row[] {
    const last = this.rows.at(-1);
    return last && !last.endsLine && last.end - last.start < 2 * PIECE_BYTES ? this.rows.slice(0, -1) : this.rows;
  }

  private keepLast(rows: readonly Row[], most: number): void {
    const dropped = rows.slice(0, Math.max(0, rows.length - most));
    if (this.firstLine !== undefined) this.firstLine += linesIn(dropped);
    this.rows = dropped.length ? rows.slice(dropped.length) : rows;
  }

  private async startAt(at: number, signal: AbortSignal): Promise<{ start: number; startsLine: boolean }> {
    const base = Math.max(0, at - LOOK_BACK_BYTES);
    return rowStart(await this.bytes(base, Math.min(this.size, at + 4), signal), base, at);
  }

  private async below(start: number, startsLine: boolean, signal: AbortSignal, most = STEP_ROWS): Promise<Row[]> {
    const end = Math.min(this.size, start + STEP_BYTES);
    const bytes = await this.bytes(start, end, signal);
    return rowsOf(bytes, start, startsLine, start + bytes.length >= this.size, most);
  }

  private async above(end: number, signal: AbortSignal, most = STEP_ROWS): Promise<Row[]> {
    if (end <= 0) return [];
    const from = Math.max(0, end - STEP_BYTES);
    const base = Math.max(0, from - LOOK_BACK_BYTES);
    const bytes = await this.bytes(base, end, signal);
    // Rows that end before the ones below them would leave lines out, and count the others wrong.
    if (bytes.length < end - base) throw new Error(`of the bytes ${base} to ${end}, only ${bytes.length} have come`);
    const { start, startsLine } = rowStart(bytes, base, from);
    return rowsOf(bytes.subarray(start - base), start, startsLine, true).slice(-most);
  }

  private async bytes(start: number, end: number, signal: AbortSignal): Promise<Uint8Array> {
    const { bytes, size } = await this.read(start, end, signal);
    if (size > this.size) this.size = size;
    else if (size && size < end) this.size = size; // it has become shorter than it was said to be
    return bytes;
  }

  private inTurn(step: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.abort;
    this.busy = this.busy.then(async () => {
      if (signal.aborted) return;
      this.isLoading = true;
      try {
        await step(signal);
        this.error = undefined;
      } catch (error) {
        if (signal.aborted) return;
        this.error = error instanceof Error ? error : new Error(String(error));
      } finally {
        this.isLoading = false;
      }
      if (!signal.aborted) this.changed();
    });
    return this.busy;
  }
}

function linesIn(rows: readonly Row[]): number {
  return rows.reduce((sum, row) => sum + (row.endsLine ? 1 : 0), 0);
}

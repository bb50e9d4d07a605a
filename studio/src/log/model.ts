// One open file: its window of rows, its live end and its time index, as the view shows them.

import { signal } from "@preact/signals";
import { ApiError, getRange, isReachable } from "../api/client";
import { listen } from "./live_file";
import { RunFile } from "./run_file";
import { type Stamp, stampsBetween } from "./timeindex";
import { LogWindow } from "./window";

/** What comes is drawn so often at most; where very much comes, less often. */
const PACE_MS = 120;
const FLOOD_PACE_MS = 350;
const FLOOD_BYTES = 64 * 1024;
const RETRY_MS = 2000;
const STAMPS_MS = 250;
/** So long after it was found to have none, a file that grows is asked for its index again. */
const NO_INDEX_MS = 10_000;

export class LogModel {
  readonly version = signal(0);
  readonly isFollowing = signal(false);
  readonly isLive = signal(false);
  readonly stamps = signal<readonly Stamp[]>([]);
  readonly window: LogWindow;
  private readonly file: RunFile;
  private readonly index: RunFile | null;
  private size: number;
  private paceTimer = 0;
  private retryTimer = 0;
  private stampTimer = 0;
  private isDrawing = false;
  private isFlooded = false;
  private hasIndex = true;
  /** Another file has taken the name since it was drawn last. */
  private isReplaced = false;
  private stopListening: (() => void) | undefined;
  private readonly seen = () => this.soon();

  constructor(url: string, indexUrl: string | null, size: number) {
    this.file = new RunFile(url);
    this.index = indexUrl === null ? null : new RunFile(indexUrl);
    this.size = size;
    performance.mark("log: opened");
    this.window = new LogWindow((start, end, abort) => this.file.read(start, end, abort), () => this.changed());
    this.window.size = size;
  }

  /** Opens at a byte; null: at the end of a file that grows, else at the beginning. */
  open(at: number | null, isLive: boolean): void {
    this.isFollowing.value = at === null && isLive;
    void (this.isFollowing.value ? this.window.jumpToEnd() : this.window.jump(at ?? 0));
  }

  /** Stays where the byte at `at` is, from now on. */
  show(at: number): void {
    this.isFollowing.value = false;
    const { start, end, rows } = this.window;
    if (rows.length && !(start <= at && at < end)) void this.window.jump(at);
  }

  /** Stays at the end from now on, where the file still grows. */
  follow(): void {
    this.isFollowing.value = true;
    this.window.size = Math.max(this.window.size, this.size);
    void this.window.jumpToEnd();
  }

  /** The row at `start` begins in line `line`, from 1. */
  countFrom(start: number, line: number): void {
    if (this.window.start !== start) return;
    this.window.firstLine = line;
    this.version.value += 1;
  }

  listen(runId: string, path: string): void {
    this.isLive.value = true;
    document.addEventListener("visibilitychange", this.seen);
    this.stopListening = listen(runId, path, {
      grew: (size, bytes) => {
        if (bytes.length) this.file.grow(size - bytes.length, bytes);
        if (size <= this.size) return;
        this.size = size;
        this.soon();
      },
      replaced: () => {
        this.file.forget();
        this.index?.forget();
        this.stamps.value = [];
        this.isReplaced = true;
        this.size = 0;
        this.soon();
      },
      ended: () => {
        this.isLive.value = false;
      },
    });
  }

  dispose(): void {
    this.hasIndex = false;
    this.stopListening?.();
    document.removeEventListener("visibilitychange", this.seen);
    clearTimeout(this.paceTimer);
    clearTimeout(this.retryTimer);
    clearTimeout(this.stampTimer);
    this.window.dispose();
  }

  private soon(): void {
    if (this.paceTimer || document.hidden) return;
    this.paceTimer = window.setTimeout(() => {
      this.paceTimer = 0;
      void this.draw();
    }, this.size - this.window.size > FLOOD_BYTES || this.isFlooded ? FLOOD_PACE_MS : PACE_MS);
  }

  private async draw(): Promise<void> {
    if (this.isDrawing) return;
    this.isDrawing = true;
    if (this.isReplaced) {
      this.isReplaced = false;
      await this.window.grown(0, this.isFollowing.value);
    }
    const size = this.size;
    this.isFlooded = size - this.window.size > FLOOD_BYTES;
    await this.window.grown(size, this.isFollowing.value);
    this.isDrawing = false;
    if (this.size !== size || this.isReplaced) this.soon();
  }

  private changed(): void {
    this.version.value += 1;
    clearTimeout(this.retryTimer);
    if (this.window.error) this.retryTimer = window.setTimeout(() => this.window.retry(), RETRY_MS);
    else isReachable.value = true;
    if (!this.stampTimer && this.index && this.hasIndex) {
      this.stampTimer = window.setTimeout(() => void this.stamp(), this.stamps.value.length ? STAMPS_MS * 2 : STAMPS_MS);
    }
  }

  /** Asks when the rows came. */
  private async stamp(): Promise<void> {
    this.stampTimer = 0;
    const { index } = this;
    const { start, end } = this.window;
    if (!index || this.covers(start, end)) return;
    try {
      const { size } = await getRange(index.url, 0, 32);
      const read = async (from: number, to: number) => (await index.read(from, to)).bytes;
      this.stamps.value = await stampsBetween(read, size, start, end);
    } catch (error) {
      this.stampAgain(error instanceof ApiError && error.status === 404);
    }
  }

  /** Without an index lines have no times; a file that grows may get one yet. */
  private stampAgain(isNone: boolean): void {
    if (isNone && !this.isLive.value) this.hasIndex = false;
    if (this.stampTimer || !this.hasIndex) return;
    this.stampTimer = window.setTimeout(() => void this.stamp(), isNone ? NO_INDEX_MS : RETRY_MS);
  }

  private covers(start: number, end: number): boolean {
    const stamps = this.stamps.value;
    return stamps.length > 0 && this.stampedFrom <= start && (stamps.at(-1)?.end ?? 0) >= end;
  }

  private get stampedFrom(): number {
    return this.stamps.value[0]?.end ?? Infinity;
  }
}

// A file of a run, read by ranges of bytes. Whole pages are kept, so that scrolling to and fro asks for nothing twice; bytes that have
// just come by the live stream need not be asked for at all.

import { getRange } from "../api/client";

export const PAGE_BYTES = 64 * 1024;
const MOST_PAGES = 96;
const MOST_LIVE_BYTES = 1 << 20;

export interface Reading {
  readonly bytes: Uint8Array;
  /** The file's size when they were read, as far as is known. */
  readonly size: number;
}

export class RunFile {
  private pages = new Map<number, Uint8Array>();
  private live: { start: number; bytes: Uint8Array; length: number } | undefined;

  constructor(readonly url: string) {}

  /** Bytes [start, end), fewer where the file ends before. */
  async read(start: number, end: number, signal?: AbortSignal): Promise<Reading> {
    const live = this.fromLive(start, end);
    if (live) return { bytes: live, size: 0 };
    const first = Math.floor(start / PAGE_BYTES);
    const last = Math.ceil(end / PAGE_BYTES);
    let size = 0;
    let tail: Uint8Array | undefined;
    const missing = this.missing(first, last);
    if (missing) {
      const reading = await getRange(this.url, missing[0] * PAGE_BYTES, missing[1] * PAGE_BYTES, signal);
      size = reading.size;
      tail = this.keep(missing[0], reading.bytes);
    }
    return { bytes: this.join(first, last, tail, start, end), size };
  }

  /** Bytes that have come at `offset`. */
  grow(offset: number, bytes: Uint8Array): void {
    const live = this.live;
    if (!live || live.start + live.length !== offset || live.length + bytes.length > 2 * MOST_LIVE_BYTES) {
      const kept = live && live.start + live.length === offset ? this.lastOf(live, MOST_LIVE_BYTES / 2) : new Uint8Array();
      const room = new Uint8Array(Math.max(2 * MOST_LIVE_BYTES, kept.length + bytes.length));
      room.set(kept);
      room.set(bytes, kept.length);
      this.live = { start: offset - kept.length, bytes: room, length: kept.length + bytes.length };
      return;
    }
    live.bytes.set(bytes, live.length);
    live.length += bytes.length;
  }

  /** Forgets everything: the file has become another one. */
  forget(): void {
    this.pages.clear();
    this.live = undefined;
  }

  private lastOf(live: { bytes: Uint8Array; length: number }, most: number): Uint8Array {
    return live.bytes.slice(Math.max(0, live.length - most), live.length);
  }

  private fromLive(start: number, end: number): Uint8Array | undefined {
    const live = this.live;
    if (!live || start < live.start || end > live.start + live.length) return undefined;
    return live.bytes.slice(start - live.start, end - live.start);
  }

  private missing(first: number, last: number): [number, number] | undefined {
    let from = first;
    let to = last;
    while (from < to && this.pages.has(from)) from += 1;
    while (to > from && this.pages.has(to - 1)) to -= 1;
    return from < to ? [from, to] : undefined;
  }

  private keep(first: number, bytes: Uint8Array): Uint8Array {
    const whole = Math.floor(bytes.length / PAGE_BYTES);
    for (let at = 0; at < whole; at += 1) this.pages.set(first + at, bytes.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES));
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= MOST_PAGES) break;
      this.pages.delete(oldest);
    }
    return bytes.subarray(whole * PAGE_BYTES);
  }

  private join(first: number, last: number, tail: Uint8Array | undefined, start: number, end: number): Uint8Array {
    const pieces: Uint8Array[] = [];
    for (let at = first; at < last; at += 1) {
      const page = this.pages.get(at) ?? tail;
      if (!page) break;
      pieces.push(page.subarray(Math.max(0, start - at * PAGE_BYTES), Math.max(0, end - at * PAGE_BYTES)));
      if (page === tail) break;
    }
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }
}

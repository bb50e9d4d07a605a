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
    const { pages } = this; // after `forget`, what is still being read is kept by nobody
    // The pages of this answer are in hand before others are let go of.
    const taken = new Map<number, Uint8Array>();
    for (let at = first; at < last; at += 1) {
      const page = pages.get(at);
      if (page) taken.set(at, page);
    }
    let size = 0;
    const missing = missingOf(taken, first, last);
    if (missing) {
      const reading = await getRange(this.url, missing[0] * PAGE_BYTES, missing[1] * PAGE_BYTES, signal);
      size = reading.size;
      const { bytes } = reading;
      for (let at = 0; at * PAGE_BYTES < bytes.length; at += 1) taken.set(missing[0] + at, bytes.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES));
    }
    keep(pages, taken);
    return { bytes: join(taken, first, last, start, end), size };
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
    this.pages = new Map();
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
}

function missingOf(pages: ReadonlyMap<number, Uint8Array>, first: number, last: number): [number, number] | undefined {
  let from = first;
  let to = last;
  while (from < to && pages.has(from)) from += 1;
  while (to > from && pages.has(to - 1)) to -= 1;
  return from < to ? [from, to] : undefined;
}

/** Keeps the whole ones of `taken` as the newest, and lets the oldest go. */
function keep(pages: Map<number, Uint8Array>, taken: ReadonlyMap<number, Uint8Array>): void {
  for (const [at, page] of taken) {
    pages.delete(at);
    if (page.length === PAGE_BYTES) pages.set(at, page);
  }
  for (const oldest of pages.keys()) {
    if (pages.size <= MOST_PAGES) break;
    pages.delete(oldest);
  }
}

/** Bytes [start, end) of the pages from `first` on; they end with the first page that is missing or not whole. */
function join(pages: ReadonlyMap<number, Uint8Array>, first: number, last: number, start: number, end: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let at = first; at < last; at += 1) {
    const page = pages.get(at);
    if (!page) break;
    pieces.push(page.subarray(Math.max(0, start - at * PAGE_BYTES), Math.max(0, end - at * PAGE_BYTES)));
    if (page.length < PAGE_BYTES) break;
  }
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

// The end of a log as a notebook has it: what came before is kept as long as it joins on. Pure.

import type { Row } from "../log/rows";
import { rowsOf } from "../log/rows";

export interface Kept {
  readonly path: string;
  readonly generation: number;
  readonly start: number;
  readonly startsLine: boolean;
  readonly bytes: Uint8Array;
}

/** So much is kept while one looks at the end, and while one looks at what was before. */
export const MOST_AT_END = 128 * 1024;
export const MOST = 4 * 1024 * 1024;
const NEWLINE = 10;

/** `now` behind what was kept, of which at most about `most` bytes stay. */
export function joined(before: Kept | null, now: Kept, most: number): Kept {
  if (!before || before.path !== now.path || before.generation !== now.generation) return now;
  const end = before.start + before.bytes.length;
  if (now.start < before.start || now.start > end) return now;
  const bytes = concat(before.bytes.subarray(0, now.start - before.start), now.bytes);
  return shortened({ ...before, bytes }, now, most);
}

/** Earlier bytes before what is kept; unchanged where they do not join on. */
export function before(kept: Kept, start: number, bytes: Uint8Array): Kept {
  if (start + bytes.length !== kept.start || !bytes.length) return kept;
  return { ...kept, start, startsLine: true, bytes: concat(bytes, kept.bytes) };
}

function shortened(kept: Kept, least: Kept, most: number): Kept {
  const surplus = kept.bytes.length - most;
  if (surplus <= 0) return kept;
  const newline = kept.bytes.indexOf(NEWLINE, surplus);
  const cut = newline + 1;
  return newline < 0 || kept.start + cut > least.start ? least : { ...kept, start: kept.start + cut, startsLine: true, bytes: kept.bytes.subarray(cut) };
}

/** The rows; those of `known` where nothing has changed. */
export function rowsOfKept(kept: Kept, known: readonly Row[]): Row[] {
  const same = new Map(known.map((row) => [row.start, row]));
  return rowsOf(kept.bytes, kept.start, kept.startsLine, true).map((row) => {
    const before = same.get(row.start);
    return before && before.end === row.end && before.startsLine === row.startsLine && before.endsLine === row.endsLine ? before : row;
  });
}

function concat(one: Uint8Array, other: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}

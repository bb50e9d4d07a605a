// The end of a log as a notebook has it: what came before is kept as long as it joins on. Pure.

import type { Row } from "../log/rows";
import { rowsOf } from "../log/rows";

export interface Kept {
  readonly path: string;
  readonly generation: number;
  readonly start: number;
  readonly startsLine: boolean;
  readonly bytes: Uint8Array;
  /** What the node has dropped, as [start, end) of the file's offsets; not among the bytes. */
  readonly gaps: readonly Gap[];
}

type Gap = readonly [number, number];

/** So much is kept while one looks at the end, and while one looks at what was before. */
export const MOST_AT_END = 128 * 1024;
export const MOST = 4 * 1024 * 1024;
const NEWLINE = 10;

/** `now` behind what was kept, of which at most about `most` bytes stay. */
export function joined(before: Kept | null, now: Kept, most: number): Kept {
  if (!before || before.path !== now.path || before.generation !== now.generation) return now;
  if (now.start < before.start || now.start > endOf(before)) return now;
  const bytes = concat(before.bytes.subarray(0, indexOf(before, now.start)), now.bytes);
  const gaps = [...before.gaps.filter(([start]) => start < now.start), ...now.gaps];
  return shortened({ ...before, bytes, gaps }, now, most);
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
  const start = offsetOf(kept, cut);
  if (newline < 0 || start > least.start) return least;
  return { ...kept, start, startsLine: true, bytes: kept.bytes.subarray(cut), gaps: kept.gaps.filter((gap) => gap[0] >= start) };
}

/** The offset in the file behind all that is kept. */
export function endOf(kept: Kept): number {
  return offsetOf(kept, kept.bytes.length);
}

/** Where a kept byte lies in the file: behind a gap that stands before it. */
function offsetOf({ start, gaps }: Kept, index: number): number {
  return gaps.reduce((offset, gap) => (gap[0] <= offset ? offset + gap[1] - gap[0] : offset), start + index);
}

/** Where an offset that is in no gap lies among the kept bytes. */
function indexOf({ start, gaps }: Kept, offset: number): number {
  return gaps.reduce((index, gap) => (gap[1] <= offset ? index - (gap[1] - gap[0]) : index), offset - start);
}

/** The rows; those of `known` where nothing has changed. */
export function rowsOfKept(kept: Kept, known: readonly Row[]): Row[] {
  const same = new Map(known.map((row) => [row.start, row]));
  return piecesOf(kept)
    .flatMap(({ bytes, start, startsLine }) => rowsOf(bytes, start, startsLine, true))
    .map((row) => {
      const before = same.get(row.start);
      return before && before.end === row.end && before.startsLine === row.startsLine && before.endsLine === row.endsLine ? before : row;
    });
}

/** What lies between gaps. */
function piecesOf(kept: Kept): Pick<Kept, "bytes" | "start" | "startsLine">[] {
  const starts = [kept.start, ...kept.gaps.map((gap) => gap[1])];
  const ends = [...kept.gaps.map((gap) => gap[0]), endOf(kept)];
  return starts.map((start, at) => {
    const index = indexOf(kept, start);
    return { start, startsLine: at === 0 && kept.startsLine, bytes: kept.bytes.subarray(index, index + ends[at]! - start) };
  });
}

function concat(one: Uint8Array, other: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}

// Bytes of a log as rows with their places in the file. Pure.
//
// A row is a line, or a piece of a line that is very long. Where a long line is cut follows from the bytes just before the cut and
// from its place in the file alone, so whoever comes from above, from below or by a jump finds the same rows.

/** Long lines are cut at multiples of this: where so many bytes before one hold no newline. */
export const PIECE_BYTES = 16 * 1024;
/** So far before a place one has to look to find the row in which it lies. */
export const LOOK_BACK_BYTES = 2 * PIECE_BYTES + 4;

const NEWLINE = 10;
const RETURN = 13;

export interface Row {
  /** Bytes [start, end) of the file, the newline included. */
  readonly start: number;
  readonly end: number;
  /** Without the line's end. */
  readonly data: Uint8Array;
  /** A line begins here; otherwise an earlier row's goes on. */
  readonly startsLine: boolean;
  /** A newline stands at its end. */
  readonly endsLine: boolean;
}

/**
 * The rows of `bytes`, which lie at `base`; a row starts there. Of the last row, all is needed: what may go on behind `bytes` is left
 * out unless `isAll` says that nothing follows.
 */
export function rowsOf(bytes: Uint8Array, base: number, startsLine: boolean, isAll: boolean, most = Infinity): Row[] {
  const rows: Row[] = [];
  let position = 0;
  let starts = startsLine;
  while (position < bytes.length && rows.length < most) {
    const newline = bytes.indexOf(NEWLINE, position);
    const cut = nextCut(base + position) - base;
    let end: number;
    if (newline >= 0 && newline < cut) end = newline + 1;
    else if (cut < bytes.length) end = backToCharacter(bytes, cut);
    else if (isAll) end = bytes.length;
    else break;
    const row = rowAt(bytes, base, position, end, starts);
    rows.push(row);
    starts = row.endsLine;
    position = end;
  }
  return rows;
}

/** Where the row starts in which the byte at `at` lies. `bytes` lie at `base`, which is 0 or LOOK_BACK_BYTES before `at`, and reach up to `at`. */
export function rowStart(bytes: Uint8Array, base: number, at: number): { start: number; startsLine: boolean } {
  const newline = at > base ? bytes.lastIndexOf(NEWLINE, at - base - 1) : -1;
  if (newline >= 0 || base === 0) return within(bytes, base, newline + 1, at);
  const cut = Math.floor(at / PIECE_BYTES) * PIECE_BYTES;
  const start = base + backToCharacter(bytes, cut - base);
  return { start, startsLine: false };
}

function within(bytes: Uint8Array, base: number, from: number, at: number): { start: number; startsLine: boolean } {
  let start = from;
  let startsLine = true;
  for (;;) {
    const cut = nextCut(base + start) - base;
    const next = cut < bytes.length ? backToCharacter(bytes, cut) : cut;
    if (next > at - base) return { start: base + start, startsLine };
    start = next;
    startsLine = false;
  }
}

function nextCut(position: number): number {
  return Math.ceil(position / PIECE_BYTES) * PIECE_BYTES + PIECE_BYTES;
}

/** `at`, or a little before it where it would cut a character of UTF-8 in two. */
function backToCharacter(bytes: Uint8Array, at: number): number {
  for (let back = 0; back < 4 && at - back > 0; back += 1) {
    const byte = bytes[at - back];
    if (byte === undefined || (byte & 0xc0) !== 0x80) return at - back;
  }
  return at;
}

function rowAt(bytes: Uint8Array, base: number, start: number, end: number, startsLine: boolean): Row {
  const endsLine = bytes[end - 1] === NEWLINE;
  let last = endsLine ? end - 1 : end;
  if (endsLine && last > start && bytes[last - 1] === RETURN) last -= 1;
  return { start: base + start, end: base + end, data: bytes.subarray(start, last), startsLine, endsLine };
}

export interface Folded {
  readonly shown: Uint8Array;
  /** How many states a progress bar went through; 1 where there is no carriage return. */
  readonly states: number;
}

/** What a terminal would have been left with: of the states between carriage returns the last one that is not empty. */
export function fold(data: Uint8Array): Folded {
  if (!data.includes(RETURN)) return { shown: data, states: 1 };
  let shown = new Uint8Array() as Uint8Array;
  let states = 0;
  let start = 0;
  while (start <= data.length) {
    const found = data.indexOf(RETURN, start);
    const end = found < 0 ? data.length : found;
    if (end > start) {
      shown = data.subarray(start, end);
      states += 1;
    }
    start = end + 1;
  }
  return { shown, states: Math.max(1, states) };
}

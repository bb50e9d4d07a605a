// How far the axes reach. Pure.

import { isDrawn, type Line, type Numbers, type Range } from "./lines";

/** From where to where the user wants an axis; null: as far as the data goes. */
export type Limits = readonly [from: number | null, to: number | null];

const PAD = 0.06;

/** The x of all lines, or of what `limits` leave of them. */
export function rangeOfX(lines: readonly Line[], isLog: boolean, limits: Limits = [null, null]): Range {
  let from = Infinity;
  let to = -Infinity;
  for (const { xs } of lines) {
    for (let place = 0; place < xs.length; place++) {
      const x = xs[place]!;
      if (!isDrawn(x, isLog)) continue;
      if (x < from) from = x;
      if (x > to) to = x;
    }
  }
  return limited(opened(from, to, isLog), limits, isLog);
}

/** The y of the lines between two x, with some room above and below, or what `limits` say. */
export function rangeOfY(lines: readonly Line[], shown: Range, isLog: boolean, limits: Limits = [null, null]): Range {
  let from = Infinity;
  let to = -Infinity;
  for (const line of lines) {
    const columns = [line.ys, line.low, line.high, line.faint].filter((one): one is Numbers => one !== undefined);
    for (let place = 0; place < line.xs.length; place++) {
      const x = line.xs[place]!;
      if (x < shown[0] || x > shown[1]) continue;
      for (const column of columns) {
        const y = column[place];
        if (!isDrawn(y, isLog)) continue;
        if (y < from) from = y;
        if (y > to) to = y;
      }
    }
  }
  return limited(padded(opened(from, to, isLog), isLog), limits, isLog);
}

/** A range that has a length, also where there is one point or none. */
export function opened(from: number, to: number, isLog: boolean): Range {
  if (from > to) return isLog ? [1, 10] : [0, 1];
  if (from < to) return [from, to];
  if (isLog) return [from / 2, to * 2];
  const half = Math.abs(from) * 0.05 || 0.5;
  return [from - half, to + half];
}

function padded([from, to]: Range, isLog: boolean): Range {
  if (isLog) {
    const factor = (to / from) ** PAD;
    return [from / factor, to * factor];
  }
  const room = (to - from) * PAD;
  return [from - room, to + room];
}

function limited([from, to]: Range, [least, most]: Limits, isLog: boolean): Range {
  const first = isDrawn(least, isLog) ? least : from;
  const last = isDrawn(most, isLog) ? most : to;
  if (first < last) return [first, last];
  // One limit lies beyond all data: what is asked for is shown, and it is empty.
  if (isDrawn(least, isLog)) return isLog ? [first, first * 10] : [first, first + 1];
  return isLog ? [last / 10, last] : [last - 1, last];
}

/** The range zoomed around `centre`; a factor below 1 shows less. */
export function zoomed([from, to]: Range, centre: number, factor: number, isLog: boolean): Range {
  if (!isLog) return [centre - (centre - from) * factor, centre + (to - centre) * factor];
  const [a, c, b] = [Math.log(from), Math.log(centre), Math.log(to)];
  return [Math.exp(c - (c - a) * factor), Math.exp(c + (b - c) * factor)];
}

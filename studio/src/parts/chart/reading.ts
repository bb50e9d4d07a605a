// What a chart says in words and figures: the values at a place, the summary for those who do not see it, the table. Pure.

import { number } from "../../format";
import { inOrder, isDrawn, nearest, sorted, type Line, type Range } from "./lines";

export interface Reading {
  readonly line: Line;
  readonly place: number;
  readonly x: number;
  readonly y: number | null;
}

/** The values of the lines at x, the greatest first; what is NaN or infinite comes last. */
export function readingsAt(lines: readonly Line[], hidden: ReadonlySet<string>, x: number, shown: Range): Reading[] {
  const reach = (shown[1] - shown[0]) * 0.02;
  const found: Reading[] = [];
  lines.forEach((line, place) => {
    if (hidden.has(line.key)) return;
    const at = nearest(line, x, reach);
    if (at !== undefined) found.push({ line, place, x: line.xs[at]!, y: line.ys[at] ?? null });
  });
  return found.sort((a, b) => rank(b.y) - rank(a.y));
}

function rank(y: number | null): number {
  return y === null || Number.isNaN(y) ? -Number.MAX_VALUE : Math.min(Number.MAX_VALUE, Math.max(-Number.MAX_VALUE, y));
}

/** The next x at which any line has a point, `by` points on (or back). */
export function neighbour(xs: readonly number[], x: number | null, by: number, shown: Range): number | null {
  const inside = xs.filter((one) => one >= shown[0] && one <= shown[1]);
  if (!inside.length) return null;
  if (x === null) return by === -Infinity || (by > 0 && by !== Infinity) ? inside[0]! : inside[inside.length - 1]!;
  let at = 0;
  for (let place = 1; place < inside.length; place++) if (Math.abs(inside[place]! - x) < Math.abs(inside[at]! - x)) at = place;
  return inside[Math.min(inside.length - 1, Math.max(0, at + by))]!;
}

const MOST_NAMED = 12;

/** The chart in a few sentences. */
export function summary(lines: readonly Line[], shown: Range, labelOfX: (x: number) => string): string {
  if (!lines.length) return "No lines.";
  const named = lines.slice(0, MOST_NAMED).map((line) => `${line.label}: ${course(line)}.`);
  const rest = lines.length > MOST_NAMED ? ` And ${lines.length - MOST_NAMED} more lines.` : "";
  const count = lines.length === 1 ? "1 line" : `${lines.length} lines`;
  return `${count} from ${labelOfX(shown[0])} to ${labelOfX(shown[1])}. ${named.join(" ")}${rest}`;
}

function course({ ys }: Line): string {
  const drawn: number[] = [];
  for (let place = 0; place < ys.length; place++) if (isDrawn(ys[place], false)) drawn.push(ys[place]!);
  if (!drawn.length) return "no values";
  if (drawn.length === 1) return `one value, ${number(drawn[0])}`;
  let [least, most] = [drawn[0]!, drawn[0]!];
  for (const y of drawn) {
    if (y < least) least = y;
    if (y > most) most = y;
  }
  return `begins at ${number(drawn[0])}, ends at ${number(drawn[drawn.length - 1])}, least ${number(least)}, greatest ${number(most)}`;
}

export interface Row {
  readonly x: number;
  readonly ys: readonly (number | null | undefined)[];
}

const MOST_ROWS = 300;

/** The values as rows by x; of many, evenly picked ones. */
export function rowsOf(lines: readonly Line[], shown: Range): { rows: Row[]; count: number } {
  const ordered = inOrder(lines).map(sorted);
  const xs = [...new Set(ordered.flatMap((line) => Array.from(line.xs)))].filter((x) => x >= shown[0] && x <= shown[1]);
  xs.sort((a, b) => a - b);
  const every = Math.max(1, Math.ceil(xs.length / MOST_ROWS));
  const rows = xs.filter((_, place) => place % every === 0 || place === xs.length - 1);
  const columns = ordered.map((line) => new Map(Array.from(line.xs, (x, place) => [x, line.ys[place]])));
  return { rows: rows.map((x) => ({ x, ys: columns.map((column) => column.get(x)) })), count: xs.length };
}

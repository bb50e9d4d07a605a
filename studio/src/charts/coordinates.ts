// The scales of parallel coordinates, and which runs pass their brushes. Pure.

import { linearTicks, logTicks, numberLabel } from "../parts/chart/ticks";

export type Value = number | string | null;

/** One axis: where a value stands on it, from 0 at its foot to 1 at its top. */
export interface Scale {
  readonly name: string;
  readonly isLog: boolean;
  readonly ticks: readonly { readonly at: number; readonly label: string }[];
  readonly at: (value: Value) => number | null;
}

const MOST_TICKS = 6;
const MOST_LABELS = 24;
// From the least to the greatest in more than two powers of ten: such parameters are chosen by their logarithm.
const IS_LOG_FROM = 100;

/** A number where the text is one; parameters are always texts. */
export function valueOf(text: string | number | null | undefined): Value {
  if (text === null || text === undefined) return null;
  if (typeof text === "number") return Number.isFinite(text) ? text : null;
  const value = Number(text);
  return text.trim() && Number.isFinite(value) ? value : text;
}

/** The scale of these values: of numbers, or of words where any of them is none. */
export function scaleOf(name: string, values: readonly Value[]): Scale {
  const there = values.filter((value) => value !== null);
  return there.every((value) => typeof value === "number") ? numberScale(name, there) : wordScale(name, there);
}

function numberScale(name: string, values: readonly number[]): Scale {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least === most || !values.length) {
    const ticks = values.length ? [{ at: 0.5, label: numberLabel(least) }] : [];
    return { name, isLog: false, ticks, at: (value) => (typeof value === "number" ? 0.5 : null) };
  }
  const isLog = least > 0 && most / least >= IS_LOG_FROM;
  // The logarithms are subtracted: a quotient of a very large and a very small number is no number any more.
  const [low, high] = isLog ? [Math.log(least), Math.log(most)] : [least, most];
  const place = (value: number) => ((isLog ? Math.log(value) : value) - low) / (high - low);
  const ticks = isLog ? logTicks(least, most, MOST_TICKS) : linearTicks(least, most, MOST_TICKS, values.every(Number.isInteger) ? 1 : 0);
  return {
    name,
    isLog,
    ticks: ticks.map((value) => ({ at: place(value), label: numberLabel(value) })),
    at: (value) => (typeof value === "number" && (!isLog || value > 0) ? place(value) : null),
  };
}

function wordScale(name: string, values: readonly (number | string)[]): Scale {
  const words = [...new Set(values.map(String))].sort(compare);
  const places = new Map(words.map((word, at) => [word, words.length === 1 ? 0.5 : at / (words.length - 1)]));
  const every = Math.ceil(words.length / MOST_LABELS);
  return {
    name,
    isLog: false,
    ticks: words.filter((_, at) => at % every === 0).map((word) => ({ at: places.get(word)!, label: word })),
    at: (value) => (value === null ? null : (places.get(String(value)) ?? null)),
  };
}

/** Numbers by size, and before words. */
export function compare(a: string, b: string): number {
  const [first, second] = [valueOf(a), valueOf(b)];
  if (typeof first === "number" && typeof second === "number") return first - second;
  if (typeof first === "number") return -1;
  if (typeof second === "number") return 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What is brushed on an axis: from where to where, 0 to 1. */
export type Brushes = Readonly<Record<string, readonly [number, number]>>;

/** Whether a run with these places passes all brushes. */
export function passes(places: Readonly<Record<string, number | null>>, brushes: Brushes): boolean {
  return Object.entries(brushes).every(([axis, [from, to]]) => {
    const at = places[axis];
    return at !== null && at !== undefined && at >= from - 1e-9 && at <= to + 1e-9;
  });
}

export interface Group {
  readonly name: string;
  readonly value: number;
  readonly count: number;
}

/** The mean of the values of each name, in the order of the names. */
export function grouped(pairs: readonly (readonly [name: string, value: number | null])[]): Group[] {
  const found = new Map<string, { sum: number; count: number }>();
  for (const [name, value] of pairs) {
    if (value === null || !Number.isFinite(value)) continue;
    const one = found.get(name) ?? { sum: 0, count: 0 };
    found.set(name, { sum: one.sum + value, count: one.count + 1 });
  }
  return [...found]
    .map(([name, { sum, count }]) => ({ name, value: sum / count, count }))
    .sort((a, b) => compare(a.name, b.name));
}

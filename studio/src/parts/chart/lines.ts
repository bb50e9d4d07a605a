// What a chart draws, and how it becomes the columns that uPlot wants: one ascending x for all, undefined where a line has no
// point, null where it has a gap. Pure.

export type Numbers = ArrayLike<number | null>;
export type Range = readonly [from: number, to: number];

/** One line of a chart. */
export interface Line {
  /** Tells it from the others; what is hidden and in which colour stays with it. */
  readonly key: string;
  readonly label: string;
  /** It may run backwards: the line then starts anew, in the same colour. Times and durations are milliseconds. */
  readonly xs: ArrayLike<number>;
  /** null, NaN and the infinities are gaps. */
  readonly ys: Numbers;
  /** The least and the greatest value at each x, drawn as a band. */
  readonly low?: Numbers;
  readonly high?: Numbers;
  /** Drawn faintly behind, as the raw values of a smoothed line are. */
  readonly faint?: Numbers;
  /** Its place in the palette; without one, its place among the lines. */
  readonly tone?: number;
  readonly isStepped?: boolean;
}

/** A stretch [from, to) of a line along which x ascends. */
export interface Stretch {
  readonly line: number;
  readonly from: number;
  readonly to: number;
}

export type Column = (number | null | undefined)[];

export interface Aligned {
  readonly xs: number[];
  readonly stretches: readonly Stretch[];
  readonly main: readonly Column[];
  /** Beside `main`; undefined where the line has none. */
  readonly low: readonly (Column | undefined)[];
  readonly high: readonly (Column | undefined)[];
  readonly faint: readonly (Column | undefined)[];
}

/** Its place in the palette. */
export function toneOf(line: Line, place: number): number {
  return line.tone ?? place;
}

// A line that turns back more often than this is no resumed training; it is drawn in the order of x.
const MOST_STRETCHES = 8;

/** Where x ascends: [from, to) of each stretch. */
export function ascending(xs: ArrayLike<number>): Range[] {
  const found: Range[] = [];
  let from = 0;
  for (let place = 1; place <= xs.length; place++) {
    if (place < xs.length && xs[place]! >= xs[place - 1]!) continue;
    found.push([from, place]);
    from = place;
  }
  return found;
}

/** The line in the order of x; equal ones keep theirs. */
export function sorted(line: Line): Line {
  const order = Array.from({ length: line.xs.length }, (_, place) => place).sort((a, b) => line.xs[a]! - line.xs[b]!);
  const picked = (column: Numbers) => order.map((place) => column[place] ?? null);
  return {
    ...line,
    xs: order.map((place) => line.xs[place]!),
    ys: picked(line.ys),
    ...(line.low && line.high ? { low: picked(line.low), high: picked(line.high) } : {}),
    ...(line.faint ? { faint: picked(line.faint) } : {}),
  };
}

/** Lines that turn back too often, or that have to be read along x, in the order of x. */
export function inOrder(lines: readonly Line[]): readonly Line[] {
  return lines.map((line) => (ascending(line.xs).length > MOST_STRETCHES ? sorted(line) : line));
}

/** Whether a value is drawn: where an axis is logarithmic, only what is above zero is. */
export function isDrawn(value: number | null | undefined, isLog: boolean): value is number {
  return typeof value === "number" && Number.isFinite(value) && (!isLog || value > 0);
}

/** The columns of all lines; `lines` are as `inOrder` leaves them. */
export function align(lines: readonly Line[], isLogX: boolean, isLogY: boolean): Aligned {
  const stretches = lines.flatMap(({ xs }, line) => ascending(xs).map(([from, to]) => ({ line, from, to })));
  const xs = union(lines, isLogX);
  const column = (of: (line: Line) => Numbers | undefined) =>
    stretches.map((stretch) => {
      const line = lines[stretch.line]!;
      const values = of(line);
      return values && filled(xs, line.xs, values, stretch, isLogY);
    });
  return {
    xs,
    stretches,
    main: column((line) => line.ys) as Column[],
    low: column((line) => line.low),
    high: column((line) => line.high),
    faint: column((line) => line.faint),
  };
}

function union(lines: readonly Line[], isLogX: boolean): number[] {
  let count = 0;
  for (const { xs } of lines) count += xs.length;
  const all = new Float64Array(count);
  let end = 0;
  for (const { xs } of lines) {
    for (let place = 0; place < xs.length; place++) if (isDrawn(xs[place], isLogX)) all[end++] = xs[place]!;
  }
  const ascended = all.subarray(0, end).sort();
  const found: number[] = [];
  for (const x of ascended) if (x !== found[found.length - 1]) found.push(x);
  return found;
}

function filled(all: readonly number[], xs: ArrayLike<number>, values: Numbers, stretch: Stretch, isLog: boolean): Column {
  const column: Column = new Array(all.length).fill(undefined);
  let at = indexOf(all, xs[stretch.from] ?? 0);
  for (let place = stretch.from; place < stretch.to; place++) {
    const x = xs[place]!;
    while (at < all.length && all[at]! < x) at++;
    if (all[at] !== x) continue; // what a logarithmic axis does not show
    const value = values[place];
    column[at] = isDrawn(value, isLog) ? value : null;
  }
  return column;
}

/** The first place in ascending `xs` from which on they are at least `x`. */
export function indexOf(xs: ArrayLike<number>, x: number, from = 0, to = xs.length): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place of the point nearest to x, as the line's last stretch that reaches there has it; undefined where none does. */
export function nearest(line: Line, x: number, reach: number): number | undefined {
  const stretches = ascending(line.xs);
  for (let which = stretches.length - 1; which >= 0; which--) {
    const [from, to] = stretches[which]!;
    if (x < line.xs[from]! - reach || x > line.xs[to - 1]! + reach) continue;
    const after = indexOf(line.xs, x, from, to);
    if (after === from) return from;
    if (after === to) return to - 1;
    return x - line.xs[after - 1]! < line.xs[after]! - x ? after - 1 : after;
  }
  return undefined;
}

// What a run used on a node, read from the lines of its telemetry file. Pure.

export interface Gpu {
  readonly gpu: number;
  readonly percent?: number;
  readonly mem_used_bytes?: number;
  readonly power_w?: number;
}

export interface Rank {
  readonly rank: number;
  readonly cpu_s?: number;
  readonly mem_bytes?: number;
}

export interface Sample {
  readonly wall_ns: number;
  readonly cpu_percent?: number;
  readonly mem_bytes?: number;
  readonly read_bytes?: number;
  readonly write_bytes?: number;
  readonly ranks?: readonly Rank[];
  readonly gpus?: readonly Gpu[];
  readonly node?: Readonly<Record<string, number>>;
}

export interface Xid {
  readonly wall_ns: number;
  readonly event: "xid";
  readonly xid: number;
  readonly gpu?: number;
  readonly pid?: number;
  readonly text?: string;
  readonly concerns?: string;
}

export interface Lines {
  readonly samples: Sample[];
  readonly xids: Xid[];
}

/** The lines that are whole JSON objects with a time; others (cut by a crash, of a later version) are passed over. */
export function parseLines(text: string): Lines {
  const found: Lines = { samples: [], xids: [] };
  for (const line of text.split("\n")) {
    const value = parsed(line);
    if (!value) continue;
    if (value["event"] === undefined) found.samples.push(value as unknown as Sample);
    else if (value["event"] === "xid") found.xids.push(value as unknown as Xid);
  }
  return found;
}

function parsed(line: string): Record<string, unknown> | null {
  if (!line.startsWith("{")) return null;
  try {
    const value = JSON.parse(line) as Record<string, unknown>;
    return typeof value["wall_ns"] === "number" ? value : null;
  } catch {
    return null;
  }
}

export interface Points {
  readonly xs: number[];
  readonly ys: (number | null)[];
}

export type Value = (sample: Sample) => number | undefined;

/** The values of samples over time, in ms. */
export function valuesOf(samples: readonly Sample[], value: Value): Points {
  const points: Points = { xs: [], ys: [] };
  for (const sample of samples) {
    const y = value(sample);
    if (typeof y !== "number") continue;
    points.xs.push(sample.wall_ns / 1e6);
    points.ys.push(y);
  }
  return points;
}

/** How fast a value that only grows has grown, per second; where it fell (another process counts from 0), and after a silence, nothing is known. */
export function ratesOf(samples: readonly Sample[], value: Value, gapMs: number): Points {
  const { xs, ys } = valuesOf(samples, value);
  const rates: Points = { xs: [], ys: [] };
  for (let at = 1; at < xs.length; at += 1) {
    const [grown, ms] = [ys[at]! - ys[at - 1]!, xs[at]! - xs[at - 1]!];
    if (ms <= 0) continue;
    rates.xs.push(xs[at]!);
    rates.ys.push(grown < 0 || ms > gapMs ? null : (grown / ms) * 1000);
  }
  return rates;
}

const MOST_POINTS = 800;

/** The mean of each of so many stretches between two times where there are more points; null where nothing was told for `gapMs`. */
export function drawn(points: Points, from: number, to: number, gapMs: number): Points {
  const inside = within(points, from, to);
  return withGaps(inside.xs.length > MOST_POINTS ? means(inside, from, (to - from) / (MOST_POINTS / 2)) : inside, gapMs);
}

function within({ xs, ys }: Points, from: number, to: number): Points {
  let [first, last] = [0, xs.length];
  while (first < last && xs[first]! < from) first += 1;
  while (last > first && xs[last - 1]! > to) last -= 1;
  // One more on either side, so that lines reach the edges.
  [first, last] = [Math.max(0, first - 1), Math.min(xs.length, last + 1)];
  return { xs: xs.slice(first, last), ys: ys.slice(first, last) };
}

function means({ xs, ys }: Points, from: number, width: number): Points {
  const points: Points = { xs: [], ys: [] };
  for (let at = 0; at < xs.length; ) {
    const place = Math.floor((xs[at]! - from) / width);
    let [sum, count] = [0, 0];
    for (; at < xs.length && Math.floor((xs[at]! - from) / width) === place; at += 1) {
      if (ys[at] === null) continue;
      sum += ys[at]!;
      count += 1;
    }
    points.xs.push(from + (place + 0.5) * width);
    points.ys.push(count ? sum / count : null);
  }
  return points;
}

function withGaps({ xs, ys }: Points, gapMs: number): Points {
  const points: Points = { xs: [], ys: [] };
  xs.forEach((x, at) => {
    const before = xs[at - 1];
    if (before !== undefined && x - before > gapMs) {
      points.xs.push((before + x) / 2);
      points.ys.push(null);
    }
    points.xs.push(x);
    points.ys.push(ys[at]!);
  });
  return points;
}

const LEAST_GAP_MS = 15_000;

/** From so long a silence on, something is missing: three times the usual distance. */
export function gapOf(samples: readonly Sample[], sampledMs: number): number {
  const steps = samples.slice(1, 2000).map((one, at) => (one.wall_ns - samples[at]!.wall_ns) / 1e6);
  const usual = steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  return Math.max(LEAST_GAP_MS, 3 * usual, 2 * sampledMs);
}

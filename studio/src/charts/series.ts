// Metrics as charts show them: the collector's sampled series, and the lines made of them.

import { get } from "../api/client";
import type { Line, Range } from "../parts/chart";
import type { Axis } from "./model";
import { smoothed } from "./smoothing";

export interface Sampled {
  readonly run_id: string;
  readonly name: string;
  readonly x_is: "step" | "time" | "index";
  readonly is_sampled: boolean;
  readonly count: number;
  readonly x: readonly number[];
  readonly min: readonly (number | null)[];
  readonly max: readonly (number | null)[];
  readonly last: readonly (number | null)[];
  readonly value: readonly unknown[];
}

/** A run, as far as its lines need it. */
export interface RunOfChart {
  readonly run_id: string;
  readonly name: string;
  readonly status: string;
  readonly started_ns: number | null;
  readonly created_ns: number;
  /** Its place in the palette, the same in all charts. */
  readonly tone: number;
}

const MOST_SERIES = 200; // of one answer of the collector
// Lines that overlap need no column for each pixel: all of them together are drawn from so many points.
const MOST_POINTS = 40_000;
const FEWEST_COLUMNS = 200;

export function columnsFor(width: number, lines: number): number {
  return Math.max(FEWEST_COLUMNS, Math.min(Math.round(width), Math.round(MOST_POINTS / Math.max(1, lines))));
}

export const startMs = (run: RunOfChart) => (run.started_ns ?? run.created_ns) / 1e6;

/** The series of the runs, between the ends of `zoom` (in the chart's own x) where there is one. */
export async function askSampled(
  runs: readonly RunOfChart[],
  metrics: readonly string[],
  axis: Axis,
  zoom: Range | null,
  columns: number,
  signal: AbortSignal,
): Promise<Sampled[]> {
  if (!runs.length || !metrics.length) return [];
  // Time since the start is another stretch of the clock for each run.
  const groups = axis === "elapsed" && zoom ? runs.map((run) => [run]) : batches(runs, Math.max(1, Math.floor(MOST_SERIES / metrics.length)));
  const answers = await Promise.all(
    groups.flatMap((group) =>
      batches(metrics, MOST_SERIES).map((names) =>
        get<{ series: Sampled[] }>(
          "/metrics/sampled",
          { run_id: group.map((run) => run.run_id), name: names, x: axis === "step" ? "step" : "time", columns, ...ends(group[0]!, axis, zoom) },
          signal,
        ),
      ),
    ),
  );
  return answers.flatMap(({ series }) => series);
}

function ends(run: RunOfChart, axis: Axis, zoom: Range | null): { start?: number; end?: number } {
  if (!zoom) return {};
  const base = axis === "elapsed" ? startMs(run) : 0;
  // A little more than is seen, so that lines go on to the edges.
  const room = (zoom[1] - zoom[0]) * 0.02;
  return { start: Math.floor(base + zoom[0] - room), end: Math.ceil(base + zoom[1] + room) };
}

function batches<T>(all: readonly T[], size: number): T[][] {
  const found: T[][] = [];
  for (let at = 0; at < all.length; at += size) found.push(all.slice(at, at + size));
  return found;
}

const WORDS: Readonly<Record<string, number>> = { NaN, Infinity, "-Infinity": -Infinity };

/** A value of a series as a number; what is no number is null. */
export function numberOf(value: unknown): number | null {
  if (typeof value === "number") return value;
  return typeof value === "string" ? (WORDS[value] ?? null) : null;
}

/** A series as a line; with several metrics in a chart, its label names both. */
export function lineOf(series: Sampled, run: RunOfChart, axis: Axis, smoothing: number, label: string, tone: number): Line {
  const base = axis === "elapsed" ? startMs(run) : 0;
  const xs = base ? series.x.map((x) => x - base) : series.x;
  const raw = series.is_sampled ? series.last : series.value.map(numberOf);
  const common = { key: `${series.run_id} ${series.name}`, label, tone, xs };
  if (smoothing > 0) return { ...common, ys: smoothed(raw, xs, smoothing), faint: raw };
  return series.is_sampled ? { ...common, ys: raw, low: series.min, high: series.max } : { ...common, ys: raw };
}

/** What the reader has to know of lines that do not show every point. */
export function sampledNote(series: readonly Sampled[]): string {
  const sampled = series.filter((one) => one.is_sampled);
  if (!sampled.length) return "";
  const most = Math.max(...sampled.map((one) => one.count));
  return `Sampled from ${most.toLocaleString("en")} points a line, with their range; zoom in for more`;
}

// The runs that charts are about, as rows with their parameters and with what metrics come to.

import { send } from "../api/client";
import type { RunStatus } from "../api/types";
import { valueOf, type Value } from "./coordinates";
import type { ChartSpec, MetricSource, Source } from "./model";
import { numberOf } from "./series";

interface Queried {
  readonly run_id: string;
  readonly experiment: string;
  readonly name: string;
  readonly status: RunStatus;
  readonly created_ns: number;
  readonly started_ns: number | null;
  readonly metrics: readonly unknown[];
  readonly params: Readonly<Record<string, string>>;
  readonly user: string;
  readonly node_count: number;
  readonly world_size: number;
  readonly command?: readonly string[];
}

export interface Row extends Omit<Queried, "metrics"> {
  /** What metrics come to, by `keyOf`; null where the run has no such number. */
  readonly values: ReadonlyMap<string, number | null>;
}

/** Which runs: those with these ids, or else the newest of an experiment that pass a filter. */
export interface Scope {
  readonly experiment: string | null;
  readonly filter: string;
  readonly runIds: readonly string[];
}

/** How many runs scatter charts, parallel coordinates and bars show where none are selected. */
export const MOST_ROWS = 200;

export const keyOf = (source: MetricSource) => JSON.stringify([source.name, source.value]);

/** The columns that charts need, each once. */
export function metricsOf(charts: readonly ChartSpec[]): MetricSource[] {
  const found = new Map<string, MetricSource>();
  for (const source of charts.flatMap(sourcesOf)) if (source.from === "metric") found.set(keyOf(source), source);
  return [...found.values()];
}

function sourcesOf(chart: ChartSpec): readonly Source[] {
  if (chart.kind === "scatter") return [chart.x, chart.y];
  if (chart.kind === "parallel") return chart.axes;
  return chart.kind === "bars" ? [{ from: "metric", name: chart.metric, value: chart.value }] : [];
}

/** `isFull`: with the runs' commands. */
export async function askRows(scope: Scope, metrics: readonly MetricSource[], isFull = false, signal?: AbortSignal): Promise<Row[]> {
  const { experiment, filter, runIds } = scope;
  // All of them: it is the children of a sweep that have values.
  const chosen = runIds.length
    ? { filter: `run_id IN (${runIds.map((id) => `'${id}'`).join(", ")})`, include_children: true, include_deleted: true }
    : { filter, experiment, include_children: true };
  const body = { ...chosen, metrics: metrics.map(({ name, value }) => ({ name, value })), page_size: MOST_ROWS, with_command: isFull };
  const answer = await send<{ runs: Queried[] }>("POST", "/runs/query", body, signal);
  const rows = answer.runs.map(({ metrics: values, ...rest }) => ({
    ...rest,
    values: new Map(metrics.map((source, place) => [keyOf(source), numberOf(values[place])])),
  }));
  if (!runIds.length) return rows;
  const order = new Map(runIds.map((id, place) => [id, place]));
  return rows.sort((a, b) => order.get(a.run_id)! - order.get(b.run_id)!);
}

/** What a run has for a column. */
export function valueIn(row: Row, source: Source): Value {
  return source.from === "param" ? valueOf(row.params[source.name]) : valueOf(row.values.get(keyOf(source)));
}

export const nameOf = (row: { readonly name: string; readonly run_id: string }) => row.name || row.run_id;

/** Names that tell the runs apart: where two have the same, their ids are beside them. */
export function labelsOf(rows: readonly { readonly name: string; readonly run_id: string }[]): ReadonlyMap<string, string> {
  const counts = new Map<string, number>();
  for (const row of rows) counts.set(nameOf(row), (counts.get(nameOf(row)) ?? 0) + 1);
  return new Map(
    rows.map((row) => [row.run_id, (counts.get(nameOf(row)) ?? 0) > 1 && row.name ? `${row.name} (${row.run_id.slice(-6)})` : nameOf(row)]),
  );
}

/** A place in the palette for each run: those that have one keep it, new ones get the lowest that is free. */
export function tones(before: ReadonlyMap<string, number>, ids: readonly string[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const id of ids) if (before.has(id)) found.set(id, before.get(id)!);
  const taken = new Set(found.values());
  let next = 0;
  for (const id of ids) {
    if (found.has(id)) continue;
    while (taken.has(next)) next += 1;
    taken.add(next);
    found.set(id, next);
  }
  return found;
}

// Changes of somebody's charts: each takes a list and gives another. Pure.

import { MOST_CHARTS, type ChartSpec, type LinesChart, type Size, type Source } from "./model";

export type Charts = readonly ChartSpec[];

/** An id that none of the charts has. */
export function freeId(charts: Charts): string {
  const taken = new Set(charts.map(({ id }) => id));
  let number = charts.length + 1;
  while (taken.has(`c${number}`)) number += 1;
  return `c${number}`;
}

/** With the chart in the place of the one with its id, or at the end. */
export function put(charts: Charts, chart: ChartSpec): Charts {
  if (charts.some(({ id }) => id === chart.id)) return charts.map((one) => (one.id === chart.id ? chart : one));
  return charts.length < MOST_CHARTS ? [...charts, chart] : charts;
}

export function remove(charts: Charts, id: string): Charts {
  return charts.filter((one) => one.id !== id);
}

/** With a copy behind the chart. */
export function duplicate(charts: Charts, id: string): Charts {
  const at = charts.findIndex((one) => one.id === id);
  const found = charts[at];
  if (!found || charts.length >= MOST_CHARTS) return charts;
  const copy = { ...found, id: freeId(charts), title: found.title && `${found.title} (copy)` };
  return [...charts.slice(0, at + 1), copy, ...charts.slice(at + 1)];
}

/** With the chart at that place; places before the first and behind the last are those. */
export function move(charts: Charts, id: string, to: number): Charts {
  const found = charts.find((one) => one.id === id);
  if (!found) return charts;
  const others = remove(charts, id);
  const at = Math.min(others.length, Math.max(0, to));
  return [...others.slice(0, at), found, ...others.slice(at)];
}

export function resize(charts: Charts, id: string, size: Size): Charts {
  return charts.map((one) => (one.id === id ? { ...one, size } : one));
}

/** The least that lines over a metric are. */
export function linesOf(id: string, metrics: readonly string[], size: Size = "medium"): LinesChart {
  return {
    ...{ id, title: "", size, kind: "lines", metrics, x: "step", smoothing: 0 },
    ...{ isLogX: false, isLogY: false, xLimits: [null, null], yLimits: [null, null] },
  };
}

const MOST_AT_FIRST = 6;
// Losses and scores say most about a training; what a machine does is on another page.
const WORTH = [/loss/i, /acc|f1|auc|score|reward|bleu|map\b/i, /err|mae|mse|rmse|perplex/i];

/** Charts for someone who has not made any: the metrics that say most, and how parameters bear on the first of them. */
export function defaults(metrics: readonly string[], params: readonly string[]): Charts {
  const ranked = [...metrics].sort((a, b) => worth(a) - worth(b) || (a < b ? -1 : 1));
  const size = ranked.length > 2 ? "small" : "medium";
  const charts: ChartSpec[] = ranked.slice(0, MOST_AT_FIRST).map((name, place) => linesOf(`c${place + 1}`, [name], size));
  const first = ranked[0];
  if (first === undefined || !params.length) return charts;
  const axes: Source[] = params.slice(0, 6).map((name) => ({ from: "param", name }));
  axes.push({ from: "metric", name: first, value: "last" });
  return [...charts, { id: freeId(charts), title: "", size: "large", kind: "parallel", axes }];
}

function worth(name: string): number {
  const found = WORTH.findIndex((one) => one.test(name));
  return found < 0 ? WORTH.length : found;
}

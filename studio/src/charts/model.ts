// What a person's charts are, and how they are read back from where they are kept: anything may stand there, and what is no
// chart is left out. Pure.

export type Axis = "step" | "elapsed" | "time";
export type Aggregate = "last" | "min" | "max" | "first" | "mean";
export type Size = "small" | "medium" | "large";
export type Limits = readonly [from: number | null, to: number | null];

/** A column of the table of runs: a parameter, or what a metric comes to. */
export type Source = { readonly from: "param"; readonly name: string } | MetricSource;
export interface MetricSource {
  readonly from: "metric";
  readonly name: string;
  readonly value: Aggregate;
}

interface Common {
  readonly id: string;
  /** Empty: what it shows says what it is. */
  readonly title: string;
  readonly size: Size;
}

export interface LinesChart extends Common {
  readonly kind: "lines";
  readonly metrics: readonly string[];
  readonly x: Axis;
  /** 0: none, up to 0.99. */
  readonly smoothing: number;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
  readonly xLimits: Limits;
  readonly yLimits: Limits;
}

export interface ScatterChart extends Common {
  readonly kind: "scatter";
  readonly x: Source;
  readonly y: Source;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
}

export interface ParallelChart extends Common {
  readonly kind: "parallel";
  readonly axes: readonly Source[];
}

export interface BarsChart extends Common {
  readonly kind: "bars";
  readonly metric: string;
  readonly value: Aggregate;
  /** The parameter whose values are the bars; empty: the runs are. */
  readonly groupBy: string;
}

export type ChartSpec = LinesChart | ScatterChart | ParallelChart | BarsChart;
export type Kind = ChartSpec["kind"];

export const KINDS: Readonly<Record<Kind, string>> = {
  lines: "Lines",
  scatter: "Scatter",
  parallel: "Parallel coordinates",
  bars: "Bars",
};
export const AXES: Readonly<Record<Axis, string>> = { step: "Step", elapsed: "Time since the start", time: "Wall clock" };
export const AGGREGATES: Readonly<Record<Aggregate, string>> = {
  last: "last",
  min: "least",
  max: "greatest",
  first: "first",
  mean: "mean",
};
export const SIZES: Readonly<Record<Size, string>> = { small: "Small", medium: "Medium", large: "Large" };
export const MOST_SMOOTHING = 0.99;
export const MOST_CHARTS = 100;

export function sourceName(source: Source): string {
  return source.from === "param" ? source.name : `${source.name} (${AGGREGATES[source.value]})`;
}

/** What a chart is called where nobody has given it a name. */
export function titleOf(chart: ChartSpec): string {
  if (chart.title) return chart.title;
  if (chart.kind === "lines") return chart.metrics.join(", ") || "No metric";
  if (chart.kind === "scatter") return `${sourceName(chart.y)} by ${sourceName(chart.x)}`;
  if (chart.kind === "parallel") return "Parameters and metrics";
  const what = `${chart.metric} (${AGGREGATES[chart.value]})`;
  return chart.groupBy ? `${what} by ${chart.groupBy}` : what;
}

type Loose = Readonly<Record<string, unknown>>;

/** Charts from text that may be anything; undefined where it is no list of charts. */
export function parseCharts(text: string): ChartSpec[] | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(found)) return undefined;
  const ids = new Set<string>();
  const charts: ChartSpec[] = [];
  for (const one of found.slice(0, MOST_CHARTS)) {
    const chart = isLoose(one) ? readChart(one) : undefined;
    if (!chart || ids.has(chart.id)) continue;
    ids.add(chart.id);
    charts.push(chart);
  }
  return charts;
}

function readChart(of: Loose): ChartSpec | undefined {
  const common = { id: text(of["id"]), title: text(of["title"]), size: choice(of["size"], SIZES, "medium") };
  if (!common.id) return undefined;
  const logs = { isLogX: of["isLogX"] === true, isLogY: of["isLogY"] === true };
  switch (of["kind"]) {
    case "lines":
      return {
        ...common,
        ...logs,
        kind: "lines",
        metrics: list(of["metrics"]).map(text).filter(Boolean),
        x: choice(of["x"], AXES, "step"),
        smoothing: Math.min(MOST_SMOOTHING, Math.max(0, finite(of["smoothing"]) ?? 0)),
        xLimits: limits(of["xLimits"]),
        yLimits: limits(of["yLimits"]),
      };
    case "scatter": {
      const [x, y] = [readSource(of["x"]), readSource(of["y"])];
      return x && y && { ...common, ...logs, kind: "scatter", x, y };
    }
    case "parallel":
      return { ...common, kind: "parallel", axes: list(of["axes"]).map(readSource).filter((one) => one !== undefined) };
    case "bars": {
      const metric = text(of["metric"]);
      return metric
        ? { ...common, kind: "bars", metric, value: choice(of["value"], AGGREGATES, "last"), groupBy: text(of["groupBy"]) }
        : undefined;
    }
    default:
      return undefined;
  }
}

function readSource(of: unknown): Source | undefined {
  if (!isLoose(of)) return undefined;
  const name = text(of["name"]);
  if (!name) return undefined;
  return of["from"] === "param" ? { from: "param", name } : { from: "metric", name, value: choice(of["value"], AGGREGATES, "last") };
}

function isLoose(of: unknown): of is Loose {
  return typeof of === "object" && of !== null && !Array.isArray(of);
}

const text = (of: unknown) => (typeof of === "string" ? of.slice(0, 500) : "");
const list = (of: unknown): unknown[] => (Array.isArray(of) ? of.slice(0, 50) : []);
const finite = (of: unknown) => (typeof of === "number" && Number.isFinite(of) ? of : null);
const limits = (of: unknown): Limits => [finite(list(of)[0]), finite(list(of)[1])];

function choice<T extends string>(of: unknown, among: Readonly<Record<T, string>>, otherwise: T): T {
  return typeof of === "string" && Object.hasOwn(among, of) ? (of as T) : otherwise;
}

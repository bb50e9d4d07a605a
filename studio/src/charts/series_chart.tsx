// Lines of metrics that are there, over steps or time, of several runs.

import { useMemo } from "preact/hooks";
import { Chart, type Range, type XIs } from "../parts/chart";
import { type Axis, type LinesChart, titleOf } from "./model";
import { lineOf, type RunOfChart, type Sampled, sampledNote } from "./series";

const X_IS: Readonly<Record<Axis, XIs>> = { step: "number", elapsed: "duration", time: "time" };
const X_LABELS: Readonly<Record<Axis, string>> = { step: "step", elapsed: "time since the start", time: "" };

interface Props {
  readonly data: readonly Sampled[];
  readonly chart: LinesChart;
  readonly runs: readonly RunOfChart[];
  readonly labels: ReadonlyMap<string, string>;
  readonly height: number;
  readonly cursorKey?: string | undefined;
  readonly hasLegend?: boolean;
  /** Given, the zoom is the caller's. */
  readonly zoom?: Range | null;
  readonly onZoom?: (range: Range | null) => void;
}

export function SeriesChart({ data, chart, runs, labels, height, cursorKey, hasLegend = true, zoom = null, onZoom }: Props) {
  const lines = useMemo(() => linesOf(data, runs, chart, labels), [data, runs, chart, labels]);
  const isByPlace = data.length && chart.x === "step" && data.every((series) => series.x_is === "index");
  return (
    <Chart
      title={titleOf(chart)}
      lines={lines}
      xIs={X_IS[chart.x]}
      xLabel={isByPlace ? "value" : X_LABELS[chart.x]}
      isLogX={chart.isLogX && chart.x !== "time"}
      isLogY={chart.isLogY}
      xLimits={chart.xLimits}
      yLimits={chart.yLimits}
      height={height}
      hasLegend={hasLegend}
      {...(onZoom ? { zoom, onZoom } : {})}
      note={sampledNote(data)}
      {...(cursorKey === undefined ? {} : { cursorKey: `${cursorKey} ${chart.x}` })}
    />
  );
}

function linesOf(series: readonly Sampled[], runs: readonly RunOfChart[], chart: LinesChart, labels: ReadonlyMap<string, string>) {
  const byId = new Map(runs.map((run) => [run.run_id, run]));
  return series.flatMap((one) => {
    const run = byId.get(one.run_id);
    if (!run) return [];
    const metric = chart.metrics.indexOf(one.name);
    const several = chart.metrics.length > 1;
    const label = labels.get(run.run_id) ?? run.run_id;
    const said = several ? (runs.length > 1 ? `${label} · ${one.name}` : one.name) : label;
    // Of several metrics each has a colour of its own, and so has each run of them.
    const tone = several ? run.tone * chart.metrics.length + Math.max(0, metric) : run.tone;
    return [lineOf(one, run, chart.x, chart.smoothing, said, tone)];
  });
}

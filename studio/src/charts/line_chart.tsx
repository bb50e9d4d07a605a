// Lines of metrics over steps or time, of several runs. Zooming in asks for finer data.

import { useMemo, useState } from "preact/hooks";
import { FINAL } from "../parts/status";
import type { RunStatus } from "../api/types";
import { Chart, type Range, type XIs } from "../parts/chart";
import { ErrorNote } from "../parts/notes";
import { useSeen, useSteady } from "./hooks";
import { titleOf, type Axis, type LinesChart } from "./model";
import { askSampled, columnsFor, lineOf, sampledNote, type RunOfChart, type Sampled } from "./series";

interface Props {
  readonly chart: LinesChart;
  readonly runs: readonly RunOfChart[];
  readonly labels: ReadonlyMap<string, string>;
  readonly height: number;
  readonly cursorKey?: string;
}

const LIVE_MS = 3000;
const X_IS: Readonly<Record<Axis, XIs>> = { step: "number", elapsed: "duration", time: "time" };
const X_LABELS: Readonly<Record<Axis, string>> = { step: "step", elapsed: "time since the start", time: "" };

export function LineChart({ chart, runs, labels, height, cursorKey }: Props) {
  const { place, isSeen, width } = useSeen<HTMLDivElement>();
  const [zoom, setZoom] = useState<Range | null>(null);
  const isLive = runs.some((run) => !FINAL.has(run.status as RunStatus));
  const columns = columnsFor(width, runs.length * chart.metrics.length);
  const wanted = isSeen && width > 0;
  const key = wanted ? JSON.stringify([runs.map((run) => run.run_id), chart.metrics, chart.x, zoom, columns]) : "";
  const { data, error } = useSteady<readonly Sampled[] | undefined>(
    key,
    async (signal) => (wanted ? askSampled(runs, chart.metrics, chart.x, zoom, columns, signal) : undefined),
    wanted && isLive ? LIVE_MS : 0,
  );
  const lines = useMemo(() => linesOf(data ?? [], runs, chart, labels), [data, runs, chart, labels]);
  const isByPlace = data?.length && chart.x === "step" && data.every((series) => series.x_is === "index");
  return (
    <div ref={place} style={{ minHeight: `${height + 28}px` }}>
      {error && !data && <ErrorNote>{error.message}</ErrorNote>}
      {data && (
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
          zoom={zoom}
          onZoom={setZoom}
          note={sampledNote(data)}
          {...(cursorKey === undefined ? {} : { cursorKey: `${cursorKey} ${chart.x}` })}
        />
      )}
      {!data && !error && <div class="chart-loading" style={{ height: `${height}px` }} />}
    </div>
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

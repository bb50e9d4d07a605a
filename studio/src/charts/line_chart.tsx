// Lines of metrics over steps or time, of several runs. Zooming in asks for finer data.

import { useState } from "preact/hooks";
import { FINAL } from "../parts/status";
import type { RunStatus } from "../api/types";
import type { Range } from "../parts/chart";
import { ErrorNote } from "../parts/notes";
import { useSeen, useSteady } from "./hooks";
import type { LinesChart } from "./model";
import { askSampled, columnsFor, type RunOfChart, type Sampled } from "./series";
import { SeriesChart } from "./series_chart";

interface Props {
  readonly chart: LinesChart;
  readonly runs: readonly RunOfChart[];
  readonly labels: ReadonlyMap<string, string>;
  readonly height: number;
  readonly cursorKey?: string;
}

const LIVE_MS = 3000;

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
  return (
    <div ref={place} style={{ minHeight: `${height + 28}px` }}>
      {error && !data && <ErrorNote>{error.message}</ErrorNote>}
      {data && (
        <SeriesChart data={data} {...{ chart, runs, labels, height, zoom, cursorKey }} onZoom={setZoom} />
      )}
      {!data && !error && <div class="chart-loading" style={{ height: `${height}px` }} />}
    </div>
  );
}

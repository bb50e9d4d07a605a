// What the run has logged: a chart of each metric, and what all of them come to.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { address } from "../address";
import { linesOf } from "../charts/arrangement";
import { FIGURES, MetricFigures, MetricTable } from "../charts/metric_figures";
import { isNumeric, type Metric } from "../charts/metrics";
import "../charts/run_metrics.css";
import { numberOf, type RunOfChart, type Sampled } from "../charts/series";
import { SeriesChart } from "../charts/series_chart";
import { number } from "../format";
import { Link } from "../parts/link";
import type { Kernel, RunOfWidget } from "./model";

const HEIGHT_PX = 150;

interface Props {
  readonly kernel: Kernel;
  readonly run: RunOfWidget;
  readonly isSilent: boolean;
}

export function Metrics({ kernel, run, isSilent }: Props): JSX.Element | null {
  const metrics = kernel.metrics.value;
  const series = kernel.series.value ?? {};
  const drawn = useMemo<RunOfChart>(() => ({ ...run, tone: 0 }), [run.run_id, run.status, run.started_ns]);
  if (!metrics) return null;
  const shown = metrics.filter((one) => isNumeric(one) && series[one.name]);
  return (
    <details class="metrics" open>
      <summary>Metrics</summary>
      <div class="charts">
        {shown.map((one) => (
          <OneChart key={one.name} metric={one} series={series[one.name]!} run={drawn} />
        ))}
      </div>
      <details>
        <summary>All values ({metrics.length})</summary>
        <Figures {...{ metrics, series, isSilent }} runId={run.run_id} onDraw={(name) => kernel.send({ kind: "chart", name })} />
      </details>
    </details>
  );
}

function OneChart({ metric, series, run }: { metric: Metric; series: Sampled; run: RunOfChart }): JSX.Element {
  const { name } = metric;
  const chart = useMemo(() => linesOf(name, [name]), [name]);
  const labels = useMemo(() => new Map([[run.run_id, name]]), [run.run_id, name]);
  const data = useMemo(() => [series], [series]);
  const runs = useMemo(() => [run], [run]);
  return (
    <div>
      <h3>
        {name} <span class="figure">{number(numberOf(metric.last) ?? String(metric.last))}</span>
      </h3>
      <SeriesChart {...{ data, chart, runs, labels }} height={HEIGHT_PX} cursorKey={`widget ${run.run_id}`} hasLegend={false} />
    </div>
  );
}

interface FiguresProps {
  readonly metrics: readonly Metric[];
  readonly series: Readonly<Record<string, Sampled>>;
  readonly isSilent: boolean;
  readonly runId: string;
  readonly onDraw: (name: string) => void;
}

function Figures({ metrics, series, isSilent, runId, onDraw }: FiguresProps): JSX.Element {
  return (
    <MetricTable>
      <tbody>
        {metrics.map((one) => (
          <tr key={one.name}>
            <th scope="row">
              {one.name}{" "}
              {isNumeric(one) && !series[one.name] && (
                <button type="button" disabled={isSilent} onClick={() => onDraw(one.name)}>
                  Draw
                </button>
              )}
            </th>
            {isNumeric(one) ? (
              <MetricFigures metric={one} series={series[one.name]} />
            ) : (
              <td colSpan={FIGURES.length}>
                {one.kind.replaceAll("_", " ")}, <Link to={address("runs", runId, "metrics")}>shown in Studio</Link>
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </MetricTable>
  );
}

// The tab "metrics" of a run: what each comes to, with its course, charts of those that are opened, and the others as what they are.

import { useMemo, useState } from "preact/hooks";
import type { RunInFull } from "../api/run";
import { useLive } from "../live";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { go, place } from "../router";
import { linesOf } from "./arrangement";
import "./board.css";
import { Choice } from "./editor_fields";
import { LineChart } from "./line_chart";
import { MetricFigures, MetricTable } from "./metric_figures";
import { askMetrics, isNumeric, type Metric } from "./metrics";
import { AXES, MOST_SMOOTHING, type Axis } from "./model";
import "./run_metrics.css";
import { askSampled, type RunOfChart, type Sampled } from "./series";
import { TypedMetric } from "./typed/typed_metric";

interface Props {
  readonly run: RunInFull;
}

const LIVE_MS = 2000;
const SPARK_MS = 5000;
const SPARK_COLUMNS = 60;
const MANY = 8;

export function RunMetrics({ run }: Props) {
  const isLive = !run.is_complete;
  const { data, error } = useLive(`metrics ${run.run_id}`, (signal) => askMetrics(run.run_id, signal), isLive ? LIVE_MS : 0);
  if (!data) return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="board-loading" />;
  if (!data.length) return <NoMetrics isLive={isLive} />;
  const typed = data.filter((metric) => !isNumeric(metric));
  return (
    <div class="run-metrics">
      <Numbers run={run} metrics={data.filter(isNumeric)} isLive={isLive} />
      <div class="typed-list">
        {typed.map((metric) => (
          <TypedMetric key={metric.name} runId={run.run_id} metric={metric} />
        ))}
      </div>
    </div>
  );
}

function NoMetrics({ isLive }: { isLive: boolean }) {
  return (
    <EmptyNote title={isLive ? "No metrics yet" : "This run logged no metrics"}>
      <p>
        <code>Run.get_context().log("loss", 0.5, step=1)</code> in a training logs one, and so does MLflow's <code>log_metric</code>.
      </p>
    </EmptyNote>
  );
}

function Numbers({ run, metrics, isLive }: { run: RunInFull; metrics: readonly Metric[]; isLive: boolean }) {
  const [wanted, setWanted] = useState("");
  const [axis, setAxis] = useState<Axis>("step");
  const [smoothing, setSmoothing] = useState(0);
  const [isLogY, setLogY] = useState(false);
  const open = place.value.query.getAll("metric");
  const drawn = useMemo<RunOfChart>(() => ({ ...run, tone: 0 }), [run.run_id, run.status, run.started_ns]);
  const names = metrics.map((metric) => metric.name);
  const sparks = useLive(
    `sparks ${run.run_id} ${names.join("\n")}`,
    (signal) => askSampled([drawn], names, "step", null, SPARK_COLUMNS, signal),
    isLive ? SPARK_MS : 0,
  );
  const series = new Map((sparks.data ?? []).map((one) => [one.name, one]));
  if (!metrics.length) return null;
  const shown = metrics.filter(({ name }) => name.toLowerCase().includes(wanted.toLowerCase()));
  const settings = { axis, smoothing, isLogY };
  return (
    <section aria-label="Numbers">
      <div class="board-tools">
        {metrics.length > MANY && (
          <input type="search" aria-label="Find a metric" placeholder="Find a metric" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
        )}
        <button type="button" onClick={() => openOnly(open.length ? [] : shown.slice(0, MANY).map(({ name }) => name))}>
          {open.length ? "Close all charts" : metrics.length > MANY ? `Open the first ${MANY} charts` : "Open all charts"}
        </button>
        {open.length > 0 && (
          <>
            <label>
              X axis <Choice among={AXES} value={axis} onValue={setAxis} />
            </label>
            <label>
              Smoothing{" "}
              <input type="range" min="0" max={MOST_SMOOTHING} step="0.01" value={smoothing} onInput={(event) => setSmoothing(event.currentTarget.valueAsNumber)} />
              <output class="figure">{smoothing.toFixed(2)}</output>
            </label>
            <label>
              <input type="checkbox" checked={isLogY} onChange={(event) => setLogY(event.currentTarget.checked)} /> Logarithmic y
            </label>
          </>
        )}
      </div>
      <Figures {...{ shown, series, open, settings }} run={drawn} />
      {!shown.length && <p class="soft">No metric is called so.</p>}
    </section>
  );
}

interface Settings {
  readonly axis: Axis;
  readonly smoothing: number;
  readonly isLogY: boolean;
}

interface FiguresProps {
  readonly run: RunOfChart;
  readonly shown: readonly Metric[];
  readonly series: ReadonlyMap<string, Sampled>;
  readonly open: readonly string[];
  readonly settings: Settings;
}

function Figures({ run, shown, series, open, settings }: FiguresProps) {
  return (
    <MetricTable>
      {shown.map((metric) => (
        <MetricRows key={metric.name} {...{ run, metric, settings }} series={series.get(metric.name)} isOpen={open.includes(metric.name)} open={open} />
      ))}
    </MetricTable>
  );
}

interface RowsProps {
  readonly run: RunOfChart;
  readonly metric: Metric;
  readonly series: Sampled | undefined;
  readonly isOpen: boolean;
  readonly open: readonly string[];
  readonly settings: Settings;
}

function MetricRows({ run, metric, series, isOpen, open, settings }: RowsProps) {
  const { name } = metric;
  const chart = useMemo(
    () => ({ ...linesOf(name, [name]), x: settings.axis, smoothing: settings.smoothing, isLogY: settings.isLogY }),
    [name, settings.axis, settings.smoothing, settings.isLogY],
  );
  const labels = useMemo(() => new Map([[run.run_id, name]]), [run.run_id, name]);
  return (
    <tbody>
      <tr>
        <th scope="row">
          <button
            type="button"
            class="quiet metric-name"
            aria-expanded={isOpen}
            onClick={() => openOnly(isOpen ? open.filter((one) => one !== name) : [...open, name])}
          >
            {name}
          </button>
        </th>
        <MetricFigures metric={metric} series={series} />
      </tr>
      {isOpen && (
        <tr class="metric-chart">
          <td colSpan={8}>
            <LineChart chart={chart} runs={[run]} labels={labels} height={230} cursorKey={`run ${run.run_id}`} />
          </td>
        </tr>
      )}
    </tbody>
  );
}

/** Puts the charts that are open into the address. */
function openOnly(names: readonly string[]): void {
  const query = new URLSearchParams(location.search);
  query.delete("metric");
  for (const name of names) query.append("metric", name);
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : ""), true);
}

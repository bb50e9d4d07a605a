// Some runs side by side, /compare?run=<id>&run=<id>: their charts, and in what they differ.

import { useMemo } from "preact/hooks";
import { Board } from "../charts/board";
import { sideBySide, textOf, type Side } from "../charts/differences";
import { Choice } from "../charts/editor_fields";
import { useSteady } from "../charts/hooks";
import { askMetrics, isNumeric, type Metric } from "../charts/metrics";
import { AGGREGATES, type Aggregate } from "../charts/model";
import { askRows, labelsOf, tones as tonesOf, type Row } from "../charts/rows";
import { Swatch } from "../parts/chart/legend";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { FINAL, Status } from "../parts/status";
import { address, go, place, setQuery } from "../router";
import "./compare.css";

/** The runs in the order of the address, and beside them their metrics. */
interface Compared {
  readonly runs: readonly Row[];
  readonly metrics: ReadonlyMap<string, readonly Metric[]>;
}

const LIVE_MS = 5000;
const MOST_RUNS = 50;

export function ComparePage() {
  const key = place.value.query.getAll("run").join(" ");
  const runIds = useMemo(() => [...new Set(key.split(" ").filter(Boolean))].slice(0, MOST_RUNS), [key]);
  const { data, error } = useSteady(`compare ${key}`, async (signal) => (runIds.length ? askCompared(runIds, signal) : undefined), LIVE_MS);
  if (!runIds.length) {
    return (
      <EmptyNote title="No runs to compare">
        <p>
          Select some in the table of <Link to="/runs">all runs</Link>, and press Compare.
        </p>
      </EmptyNote>
    );
  }
  if (!data) return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="booting" />;
  return <Comparison all={data} runIds={runIds} />;
}

async function askCompared(runIds: readonly string[], signal: AbortSignal): Promise<Compared> {
  const rows = askRows({ experiment: null, filter: "", runIds }, [], true, signal);
  const metrics = Promise.all(runIds.map(async (id) => [id, await askMetrics(id, signal)] as const));
  return { metrics: new Map(await metrics), runs: await rows };
}

function Comparison({ all, runIds }: { all: Compared; runIds: readonly string[] }) {
  const runs = useMemo(() => all.runs.filter((run) => runIds.includes(run.run_id)), [all, runIds]);
  const metrics = runs.map((run) => all.metrics.get(run.run_id) ?? []);
  const experiments = new Set(runs.map((run) => run.experiment));
  const scope = useMemo(() => ({ experiment: null, filter: "", runIds }), [runIds]);
  const known = JSON.stringify([
    [...new Set(metrics.flatMap((of) => of.filter(isNumeric).map(({ name }) => name)))].sort(),
    [...new Set(runs.flatMap((run) => Object.keys(run.params)))].sort(),
  ]);
  const names = useMemo(() => {
    const [metrics, params] = JSON.parse(known) as [string[], string[]];
    return { metrics, params };
  }, [known]);
  const [experiment = ""] = experiments.size === 1 ? experiments : [];
  return (
    <>
      <div class="head">
        <h1>Compare {runs.length === 1 ? "1 run" : `${runs.length} runs`}</h1>
        {experiment && <Link to={address("experiments", experiment)}>{experiment}</Link>}
      </div>
      <Board scope={scope} place={experiment || "compare"} names={names} rows={runs} />
      <Sides runs={runs} of={metrics} />
    </>
  );
}

function Sides({ runs, of }: { runs: readonly Row[]; of: readonly (readonly Metric[])[] }) {
  const isBrief = place.value.query.get("differences") === "1";
  const asked = place.value.query.get("value") ?? "last";
  const value: Aggregate = Object.hasOwn(AGGREGATES, asked) ? (asked as Aggregate) : "last";
  const params = sideBySide(runs.map((run) => new Map(Object.entries(run.params))));
  const metrics = sideBySide(of.map((one) => new Map(one.filter(isNumeric).map((metric) => [metric.name, textOf(metric[value])]))));
  const facts = sideBySide(
    runs.map((run) => new Map([["Experiment", run.experiment], ["User", run.user], ["Command", (run.command ?? []).join(" ")], ["Nodes", String(run.node_count)], ["Processes", String(run.world_size)]])),
  );
  return (
    <section class="sides" aria-label="Side by side">
      <div class="board-tools">
        <h2>Side by side</h2>
        <label>
          <input type="checkbox" checked={isBrief} onChange={(event) => setQuery({ differences: event.currentTarget.checked ? "1" : null })} /> Only differences
        </label>
        <label>
          Metrics show <Choice among={AGGREGATES} value={value} onValue={(one) => setQuery({ value: one === "last" ? null : one })} />
        </label>
      </div>
      <div class="side-scroll" tabIndex={0} role="region" aria-label="Parameters and metrics of the runs">
        <table class="plain side-table figure">
          <Heads runs={runs} />
          <Group name="Parameters" sides={params} isBrief={isBrief} columns={runs.length} />
          <Group name="Metrics" sides={metrics} isBrief={isBrief} columns={runs.length} />
          <Group name="Run" sides={facts} isBrief={isBrief} columns={runs.length} />
        </table>
      </div>
    </section>
  );
}

function Heads({ runs }: { runs: readonly Row[] }) {
  const labels = labelsOf(runs);
  const tones = tonesOf(new Map(), runs.map((run) => run.run_id));
  return (
    <thead>
      <tr>
        <th scope="col">
          <span class="hidden">Name</span>
        </th>
        {runs.map((run) => (
          <th scope="col" key={run.run_id}>
            <Swatch tone={tones.get(run.run_id) ?? 0} /> <Link to={address("runs", run.run_id)}>{labels.get(run.run_id)}</Link>{" "}
            <button type="button" class="quiet side-away" aria-label={`Compare without ${labels.get(run.run_id)}`} title="Compare without this run" onClick={() => leave(run.run_id)}>
              ×
            </button>
            <div>{FINAL.has(run.status) && run.status === "Completed" ? <span class="soft">Completed</span> : <Status status={run.status} />}</div>
          </th>
        ))}
      </tr>
    </thead>
  );
}

function Group({ name, sides, isBrief, columns }: { name: string; sides: readonly Side[]; isBrief: boolean; columns: number }) {
  const shown = isBrief ? sides.filter((side) => side.isDifferent) : sides;
  return (
    <tbody>
      <tr class="side-group">
        <th scope="rowgroup" colSpan={columns + 1}>
          {name}
          {!shown.length && <span class="soft"> {sides.length ? "do not differ" : "none"}</span>}
        </th>
      </tr>
      {shown.map((side) => (
        <tr key={side.name} class={side.isDifferent ? "different" : ""}>
          <th scope="row">{side.name}</th>
          {side.values.map((value, at) => (
            <td key={at}>{value ?? <span class="soft">–</span>}</td>
          ))}
        </tr>
      ))}
    </tbody>
  );
}

function leave(runId: string): void {
  const query = new URLSearchParams(location.search);
  const left = query.getAll("run").filter((id) => id !== runId);
  query.delete("run");
  for (const id of left) query.append("run", id);
  go(`${location.pathname}?${query}`);
}

// The children of a run: what each was given, what it came to, and which is the best.

import { useMemo, useRef } from "preact/hooks";
import type { Goal, RunInFull } from "../api/run";
import { number, span } from "../format";
import { useLive } from "../live";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { FINAL, Status } from "../parts/status";
import { type Column, type Rows, Table } from "../parts/table";
import { Moment } from "../parts/time";
import { address, place, setQuery } from "../router";
import type { TabProps } from "./tab";
import { allTrials, ordered, paramNames, type Trial, type Trials } from "./trials";
import { TrialsChart } from "./trials_chart";
import "./children.css";

const LIVE_MS = 3000;
const LARGE_MS = 15_000;
const MOST_PARAMS = 40;

export function Children({ run }: TabProps) {
  const wished = wishedGoal(place.value.query);
  const before = useRef<Trials | undefined>(undefined);
  const pace = FINAL.has(run.status) ? LARGE_MS : (before.current?.trials.length ?? 0) > 1000 ? LARGE_MS : LIVE_MS;
  const load = async (signal: AbortSignal) => (before.current = await allTrials(run, wished, before.current, signal));
  const { data, error } = useLive(`trials ${run.run_id} ${wished?.metric ?? ""} ${wished?.goal ?? ""}`, load, pace);
  if (!data) return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="booting" />;
  if (!data.trials.length) return <None />;
  return (
    <div class="children">
      <GoalChoice run={run} goal={data.goal} />
      {data.goal && <TrialsChart trials={data} metric={data.goal.metric} />}
      <TrialsTable trials={data} />
    </div>
  );
}

function wishedGoal(query: URLSearchParams): Goal | null {
  const metric = query.get("metric");
  return metric ? { metric, goal: query.get("goal") === "maximize" ? "maximize" : "minimize" } : null;
}

function GoalChoice({ run, goal }: { run: RunInFull; goal: Goal | null }) {
  return (
    <form
      class="filters"
      onSubmit={(event) => {
        event.preventDefault();
        const told = new FormData(event.currentTarget);
        setQuery({ metric: String(told.get("metric")), goal: String(told.get("goal")) });
      }}
    >
      <label>
        Compare by <input name="metric" required placeholder="a metric, as loss" value={goal?.metric ?? ""} key={goal?.metric ?? ""} />
      </label>
      <label>
        Best is{" "}
        <select name="goal" value={goal?.goal ?? "minimize"}>
          <option value="minimize">the least</option>
          <option value="maximize">the greatest</option>
        </select>
      </label>
      <button type="submit">Compare</button>
      {run.goal && run.goal.metric !== goal?.metric && (
        <button type="button" class="quiet" onClick={() => setQuery({ metric: null, goal: null })}>
          By {run.goal.metric} again
        </button>
      )}
    </form>
  );
}

function TrialsTable({ trials }: { trials: Trials }) {
  const sort = place.value.query.get("sort") ?? "iteration";
  const [column, isAscending] = [sort.replace(/^-/, ""), !sort.startsWith("-")];
  const shown = useMemo(() => ordered(trials.trials, column, isAscending), [trials, column, isAscending]);
  const names = useMemo(() => paramNames(trials.trials), [trials]);
  const columns = useMemo(() => columnsOf(trials, names), [names.join("\n"), trials.goal?.metric, trials.best_run_id]);
  const rows = useMemo<Rows<Trial>>(
    () => ({ count: shown.length, at: (index) => shown[index], keyOf: (one) => one.run_id, nameOf: (one) => one.name || one.run_id }),
    [shown],
  );
  return (
    <div class="children-table" style={{ height: `${Math.max(120, Math.min(shown.length, 18) * 32 + 52)}px` }}>
      <Table
        label="Children"
        columns={columns}
        rows={rows}
        sort={{ column, isAscending }}
        onSort={(wanted) => setQuery({ sort: `${wanted.isAscending ? "" : "-"}${wanted.column}` })}
      />
    </div>
  );
}

function columnsOf({ goal, best_run_id }: Trials, names: readonly string[]): Column<Trial>[] {
  const metric = goal?.metric ?? "";
  const ofMetric: Column<Trial>[] = [
    { id: "value", title: metric, width: 120, isSortable: true, isNumeric: true, cell: (one) => number(one.value) },
    { id: "best", title: `Best ${metric} so far`, width: 140, isSortable: true, isNumeric: true, cell: (one) => number(one.best) },
  ];
  return [
    {
      id: "name",
      title: "Child",
      width: 190,
      isFixed: true,
      isSortable: true,
      cell: (one) => (
        <>
          <Link to={address("runs", one.run_id)}>{one.name || one.run_id}</Link>
          {one.run_id === best_run_id && <span class="badge">best</span>}
        </>
      ),
    },
    { id: "iteration", title: "Iteration", width: 110, isSortable: true, isNumeric: true, cell: (one) => one.iteration },
    { id: "status", title: "Status", width: 130, isSortable: true, cell: (one) => <Status status={one.status} /> },
    ...(metric ? ofMetric : []),
    ...names.slice(0, MOST_PARAMS).map((name) => ({
      id: `params.${name}`,
      title: name,
      hint: `Parameter ${name}`,
      width: 110,
      isSortable: true,
      isNumeric: true,
      cell: (one: Trial) => one.params[name] ?? "–",
    })),
    {
      id: "took",
      title: "Duration",
      width: 100,
      isSortable: true,
      isNumeric: true,
      cell: (one) => (one.duration_s === null ? "–" : span(one.duration_s * 1000)),
    },
    { id: "created", title: "Created", width: 120, cell: (one) => <Moment ns={one.created_ns} /> },
    { id: "cause", title: "Cause", width: 240, cell: (one) => one.cause },
  ];
}

function None() {
  return (
    <EmptyNote title="This run has no children">
      <p>
        A training makes one by <code>run.child_run()</code>; a sweep (<code>runyard.sweep</code>) has a child for each trial.
      </p>
    </EmptyNote>
  );
}

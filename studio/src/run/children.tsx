// The children of a run: what each was given, what it came to, and which is the best.

import { useRef } from "preact/hooks";
import type { Goal, RunInFull } from "../api/run";
import { useLive } from "../live";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { FINAL } from "../parts/status";
import { place, setQuery } from "../router";
import type { TabProps } from "./tab";
import { allTrials, type Trials } from "./trials";
import { TrialsChart } from "./trials_chart";
import { TrialsTable } from "./trials_table";
import "./children.css";

const LIVE_MS = 3000;
const LARGE_MS = 15_000;

export function Children({ run }: TabProps) {
  const wished = wishedGoal(place.value.query);
  const sort = place.value.query.get("sort") ?? "iteration";
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
      <TrialsTable
        trials={data}
        sort={{ column: sort.replace(/^-/, ""), isAscending: !sort.startsWith("-") }}
        onSort={(wanted) => setQuery({ sort: `${wanted.isAscending ? "" : "-"}${wanted.column}` })}
      />
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

function None() {
  return (
    <EmptyNote title="This run has no children">
      <p>
        A training makes one by <code>run.child_run()</code>; a sweep (<code>runyard.sweep</code>) has a child for each trial.
      </p>
    </EmptyNote>
  );
}

// The list of experiments, and one experiment: its charts and the table of its runs.

import { useMemo, useState } from "preact/hooks";
import { type Experiment, listExperiments } from "../api/table";
import type { RunStatus } from "../api/types";
import { useLive } from "../live";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { FINAL, STATUSES, Status } from "../parts/status";
import { Table } from "../parts/table";
import type { Column, ColumnLayout, Rows, Sort } from "../parts/table_model";
import { Moment } from "../parts/time";
import { address, place, setQuery } from "../router";
import { ChartsPlace } from "../runs/charts_place";
import { RunsView } from "../runs/runs_view";
import "./experiments.css";

const EVERY_MS = 4000;

export function ExperimentsPage({ rest }: { rest: readonly string[] }) {
  const [name] = rest;
  return name === undefined ? <ExperimentList /> : <ExperimentPage key={name} name={name} />;
}

function ExperimentPage({ name }: { name: string }) {
  return (
    <>
      <div class="head">
        <h1>
          <Link to="/experiments">Experiments</Link> / {name}
        </h1>
      </div>
      <RunsView
        experiment={name}
        above={(filter, runIds) => <ChartsPlace experiment={name} filter={filter} runIds={runIds} />}
      />
    </>
  );
}

const COLUMNS: readonly Column<Experiment>[] = [
  { id: "name", title: "Name", width: 320, isFixed: true, isSortable: true, cell: ({ name }) => <Link to={address("experiments", name)}>{name}</Link> },
  { id: "active", title: "Now", width: 300, isSortable: true, cell: (one) => <Now experiment={one} /> },
  { id: "runs", title: "Runs", width: 100, isNumeric: true, isSortable: true, cell: ({ run_count }) => run_count.toLocaleString() },
  { id: "failed", title: "Failed", width: 100, isNumeric: true, isSortable: true, cell: ({ statuses }) => (statuses.Failed ?? 0).toLocaleString() },
  { id: "newest", title: "Last run", width: 150, isSortable: true, cell: ({ newest_ns }) => <Moment ns={newest_ns} /> },
];
const WORTH: Readonly<Record<string, (one: Experiment) => number | string>> = {
  name: ({ name }) => name.toLowerCase(),
  active: (one) => activeOf(one).reduce((sum, [, count]) => sum + count, 0),
  runs: ({ run_count }) => run_count,
  failed: ({ statuses }) => statuses.Failed ?? 0,
  newest: ({ newest_ns }) => newest_ns ?? 0,
};

/** Runs that are under way, by status. */
function activeOf({ statuses }: Experiment): [RunStatus, number][] {
  return STATUSES.flatMap((status) => (FINAL.has(status) || !statuses[status] ? [] : [[status, statuses[status]] as [RunStatus, number]]));
}

function Now({ experiment }: { experiment: Experiment }) {
  const active = activeOf(experiment);
  if (!active.length) return <span class="soft">nothing under way</span>;
  return (
    <span class="now">
      {active.map(([status, count]) => (
        <span key={status}>
          {count.toLocaleString()} <Status status={status} />
        </span>
      ))}
    </span>
  );
}

function ExperimentList() {
  const { data, error } = useLive("experiments", listExperiments, EVERY_MS);
  const sought = place.value.query.get("name") ?? "";
  const printed = place.value.query.get("sort") ?? "-newest";
  const sort: Sort = { column: printed.replace(/^-/, ""), isAscending: !printed.startsWith("-") };
  const [widths, setWidths] = useState<readonly ColumnLayout[]>(COLUMNS);
  const shown = useMemo(() => sorted(data ?? [], sort, sought), [data, printed, sought]);
  const rows = useMemo(() => rowsOf(shown), [shown]);
  const columns = useMemo(() => widths.flatMap(({ id, width }) => COLUMNS.filter((one) => one.id === id).map((one) => ({ ...one, width }))), [widths]);

  return (
    <div class="experiments">
      <div class="head">
        <h1>Experiments</h1>
        <label class="sought">
          <span class="hidden">Search by name</span>
          <input
            type="search"
            placeholder="Search by name"
            value={sought}
            onInput={(event) => setQuery({ name: event.currentTarget.value })}
          />
        </label>
        <span class="soft" role="status">
          {data && `${shown.length.toLocaleString()} ${shown.length === 1 ? "experiment" : "experiments"}`}
        </span>
      </div>
      {!data && error && <ErrorNote>{error.message}</ErrorNote>}
      {data && !shown.length && <NoExperiments isSought={Boolean(sought)} />}
      {shown.length > 0 && (
        <Table
          label="Experiments"
          columns={columns}
          rows={rows}
          sort={sort}
          onSort={({ column, isAscending }) => setQuery({ sort: `${isAscending ? "" : "-"}${column}` }, false)}
          onLayout={setWidths}
        />
      )}
    </div>
  );
}

function NoExperiments({ isSought }: { isSought: boolean }) {
  if (isSought) return <EmptyNote title="No experiment is called so" />;
  return (
    <EmptyNote title="No experiments yet">
      <p>An experiment is made with its first run:</p>
      <pre>runyard run --experiment my-experiment -- python train.py</pre>
    </EmptyNote>
  );
}

function sorted(all: readonly Experiment[], { column, isAscending }: Sort, sought: string): readonly Experiment[] {
  const worth = WORTH[column] ?? (({ newest_ns }: Experiment) => newest_ns ?? 0);
  const found = all.filter(({ name }) => name.toLowerCase().includes(sought.trim().toLowerCase()));
  const direction = isAscending ? 1 : -1;
  return found.sort((one, other) => {
    const [left, right] = [worth(one), worth(other)];
    return direction * (left < right ? -1 : left > right ? 1 : one.experiment_id - other.experiment_id);
  });
}

function rowsOf(shown: readonly Experiment[]): Rows<Experiment> {
  return { count: shown.length, at: (index) => shown[index], keyOf: ({ name }) => name, nameOf: ({ name }) => name };
}

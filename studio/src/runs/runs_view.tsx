// A table of runs with all that belongs to it: filter, views, columns, selection. Of all runs, or of one experiment's.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { type KnownNames, type TableRun, knownNames } from "../api/table";
import { useLive } from "../live";
import { lazy } from "../parts/lazy";
import { ErrorNote } from "../parts/notes";
import { Table } from "../parts/table";
import type { ColumnLayout } from "../parts/table_model";
import { place, setQuery } from "../router";
import { columnsOf, printLayout } from "./columns";
import { ColumnsDialog } from "./columns_dialog";
import { NoRuns } from "./empty";
import { printFilter } from "./filter";
import { FilterBar } from "./filter_bar";
import "./runs_view.css";
import { SelectionBar } from "./selection";
import { RunSource } from "./source";
import { changes, forgetLayout, hasLayout, keepLayout, queryOf, viewOf } from "./view";
import { ViewsMenu } from "./views_menu";

interface Props {
  readonly experiment?: string;
  /** What stands between the filter and the table; it is told which runs are selected. */
  readonly above?: (filter: string, selected: readonly string[]) => ComponentChildren;
}

const BulkActions = lazy(() => import("../act/bulk").then((all) => all.BulkActions));
const NAMES_EVERY_MS = 60_000;

export function RunsView({ experiment, above }: Props) {
  const [isWaiting] = useState(experiment !== undefined && !hasLayout(place.value.query, experiment));
  const [areRowsThere, setThere] = useState(false);
  const mayAsk = isWaiting || areRowsThere; // the rows come first
  const known = useLive(
    `names of ${experiment ?? "all"} ${mayAsk}`,
    (signal) => (mayAsk ? knownNames(experiment, signal) : Promise.resolve(undefined)),
    NAMES_EVERY_MS,
  );
  if (isWaiting && !known.data && !known.error) return <div class="booting" />; // the first columns are of them
  return <Loaded experiment={experiment} above={above} names={known.data} onThere={() => setThere(true)} />;
}

interface LoadedProps {
  readonly experiment: string | undefined;
  readonly above: Props["above"];
  readonly names: KnownNames | undefined;
  /** The first rows have come. */
  readonly onThere: () => void;
}

function Loaded({ experiment, above, names, onThere }: LoadedProps) {
  const query = place.value.query;
  const view = viewOf(query, experiment, names);
  const [isChoosing, setChoosing] = useState(false);
  const [chosen, setChosen] = useState<ReadonlyMap<string, TableRun>>(new Map());
  const layoutKey = printLayout(view.layout);
  const columns = useMemo(() => columnsOf(view.layout), [layoutKey]);
  const source = useSource(JSON.stringify({ ...queryOf(view, experiment), filter: printFilter(view.clauses) }), () =>
    queryOf(view, experiment),
  );
  const filter = queryOf(view, experiment).filter;
  const total = source.total.value;
  const rows = source.rows.value;
  const selected = useMemo(() => new Set(chosen.keys()), [chosen]);
  const runs = useMemo(() => [...new Map([...chosen, ...source.loaded(chosen)]).values()], [chosen, rows]);

  const isThere = source.settled.value;
  useEffect(() => {
    if (isThere) onThere();
  }, [isThere]);

  function select(ids: ReadonlySet<string>): void {
    const known = new Map([...chosen, ...source.loaded(ids)]);
    setChosen(new Map([...known].filter(([run_id]) => ids.has(run_id))));
  }

  function relayout(layout: readonly ColumnLayout[]): void {
    keepLayout(experiment, layout);
    setQuery(changes({ layout }));
  }

  return (
    <div class="runs">
      <FilterBar
        clauses={view.clauses}
        onChange={(clauses) => setQuery(changes({ clauses }), false)}
        names={names}
        without={experiment === undefined ? [] : ["experiment"]}
      />
      {view.fault && <ErrorNote>The filter in the address cannot be used. {view.fault}</ErrorNote>}
      {source.error.value && <ErrorNote>{source.error.value}</ErrorNote>}
      {above?.(filter, [...selected])}
      <div class="runs-head">
        <span class="runs-count" role="status">
          {total === undefined ? "Loading runs" : `${total.toLocaleString()} ${total === 1 ? "run" : "runs"}`}
        </span>
        <SelectionBar runIds={[...selected]} onClear={() => setChosen(new Map())}>
          <BulkActions runs={runs} refresh={() => void source.refresh()} />
        </SelectionBar>
        <span class="grow" />
        <label class="switch">
          <input
            type="checkbox"
            checked={view.hasArchived}
            onChange={(event) => setQuery(changes({ hasArchived: event.currentTarget.checked }))}
          />
          Archived
        </label>
        <ViewsMenu experiment={experiment} query={query.toString()} />
        <button type="button" onClick={() => setChoosing(true)}>
          Columns
        </button>
      </div>
      {total === 0 ? (
        <NoRuns experiment={experiment} isFiltered={view.clauses.length > 0} onClear={() => setQuery(changes({ clauses: [] }), false)} />
      ) : (
        <Table
          label="Runs"
          columns={columns}
          rows={rows}
          onLook={source.look}
          sort={view.sort}
          onSort={(sort) => setQuery(changes({ sort }), false)}
          onLayout={relayout}
          selected={selected}
          onSelect={select}
          onToggle={source.toggle}
          shift={source.shift.value}
        />
      )}
      {isChoosing && (
        <ColumnsDialog
          layout={view.layout}
          names={names}
          onDone={relayout}
          onReset={() => {
            forgetLayout(experiment);
            setQuery({ columns: null });
          }}
          onClose={() => setChoosing(false)}
        />
      )}
    </div>
  );
}

/** The source of a query. Another query's rows are shown once they are there, so that the table is never empty in between. */
function useSource(key: string, query: () => ReturnType<typeof queryOf>): RunSource {
  const [shown, setShown] = useState(() => ({ key, source: new RunSource(query) }));
  useEffect(() => {
    if (shown.key === key) return;
    const next = new RunSource(query);
    const settle = next.settled.subscribe((isSettled) => {
      if (isSettled) setShown({ key, source: next });
    });
    return () => {
      settle();
      if (!next.settled.peek()) next.stop();
    };
  }, [key]);
  useEffect(() => () => shown.source.stop(), [shown]);
  return shown.source;
}

// The processes of a run: which one is where, how it stands, how far it has come, and its log.

import { useMemo, useRef } from "preact/hooks";
import type { RunInFull } from "../api/run";
import { EmptyNote } from "../parts/notes";
import { place, setQuery } from "../router";
import { chosen, type ProcessRow, rowsOf, SORTABLE, type State, STATES, type Wanted } from "./process_rows";
import { ProcessesTable } from "./processes_table";
import { Stacks } from "./stacks_section";
import type { TabProps } from "./tab";
import "./processes.css";

export function Processes({ run }: TabProps) {
  const known = useRef<ReadonlyMap<number, ProcessRow>>(new Map());
  const rows = useMemo(() => (known.current = rowsOf(run, known.current)), [run]);
  const wanted = wantedOf(place.value.query);
  const shown = useMemo(() => chosen(rows.values(), wanted), [rows, wanted.state, wanted.node, wanted.sort, wanted.isAscending]);
  if (!rows.size) return <None run={run} />;
  return (
    <div class="processes">
      <Filters run={run} rows={rows} wanted={wanted} />
      {shown.length === 0 ? (
        <p class="soft">No process is so. Choose another state or node.</p>
      ) : (
        <ProcessesTable
          run={run}
          shown={shown}
          sort={{ column: wanted.sort, isAscending: wanted.isAscending }}
          onSort={({ column, isAscending }) => setQuery({ sort: `${isAscending ? "" : "-"}${column}` })}
        />
      )}
      <Stacks run={run} />
    </div>
  );
}

function wantedOf(query: URLSearchParams): Wanted {
  const sort = query.get("sort") ?? "rank";
  const column = sort.replace(/^-/, "");
  return {
    state: query.get("state") ?? "",
    node: query.get("node") ?? "",
    sort: SORTABLE.has(column) ? column : "rank",
    isAscending: !sort.startsWith("-"),
  };
}

function Filters({ run, rows, wanted }: { run: RunInFull; rows: ReadonlyMap<number, ProcessRow>; wanted: Wanted }) {
  const counts = new Map<State, number>();
  for (const { state } of rows.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
  const states = (Object.keys(STATES) as State[]).filter((state) => counts.has(state) || state === wanted.state);
  return (
    <div class="filters">
      <label>
        State{" "}
        <select value={wanted.state} onChange={(event) => setQuery({ state: event.currentTarget.value })}>
          <option value="">All {rows.size}</option>
          {states.map((state) => (
            <option key={state} value={state}>
              {STATES[state]} ({counts.get(state) ?? 0})
            </option>
          ))}
        </select>
      </label>
      {run.nodes.length > 1 && (
        <label>
          Node{" "}
          <select value={wanted.node} onChange={(event) => setQuery({ node: event.currentTarget.value })}>
            <option value="">All {run.nodes.length}</option>
            {run.nodes.map((node) => (
              <option key={node.node_id} value={node.node_id}>
                {node.ip}
              </option>
            ))}
          </select>
        </label>
      )}
      <p class="soft figure" role="status">
        {states.map((state) => `${counts.get(state) ?? 0} ${STATES[state].toLowerCase()}`).join(" · ")}
        {run.world_size > rows.size && ` · ${run.world_size - rows.size} not started`}
      </p>
    </div>
  );
}

function None({ run }: { run: RunInFull }) {
  if (run.is_client_run) {
    return <EmptyNote title="This run has no processes of its own">It was made by a client, and no node has it.</EmptyNote>;
  }
  return (
    <EmptyNote title="No process has been started">
      <p>{run.ended_ns ? "The run ended before its training began; the overview says why." : "They appear here as soon as the run's driver starts."}</p>
    </EmptyNote>
  );
}

// The processes of a run: which one is where, how it stands, how far it has come, and its log.

import { useMemo, useRef } from "preact/hooks";
import type { RunInFull } from "../api/run";
import { number, span } from "../format";
import { Link } from "../parts/link";
import { EmptyNote } from "../parts/notes";
import { type Column, type Rows, Table } from "../parts/table";
import { Duration, Moment } from "../parts/time";
import { place, setQuery } from "../router";
import { logAddress } from "./log_address";
import { chosen, type ProcessRow, rowsOf, SORTABLE, type State, STATES, type Wanted } from "./process_rows";
import { exitText } from "./process_words";
import { Stacks } from "./stacks_section";
import type { TabProps } from "./tab";
import "./processes.css";

const TONES: Readonly<Record<State, string>> = {
  stalled: "warn",
  running: "active",
  failed: "bad",
  ended: "off",
  completed: "good",
};

export function Processes({ run }: TabProps) {
  const known = useRef<ReadonlyMap<number, ProcessRow>>(new Map());
  const rows = useMemo(() => (known.current = rowsOf(run, known.current)), [run]);
  const wanted = wantedOf(place.value.query);
  const shown = useMemo(() => chosen(rows.values(), wanted), [rows, wanted.state, wanted.node, wanted.sort, wanted.isAscending]);
  const columns = useMemo(() => columnsOf(run), [run.run_id, run.nodes.length > 1, isWatched(run)]);
  const table = useMemo<Rows<ProcessRow>>(
    () => ({
      count: shown.length,
      at: (index) => shown[index],
      keyOf: (row) => String(row.process.rank),
      nameOf: (row) => `rank ${row.process.rank}`,
    }),
    [shown],
  );
  if (!rows.size) return <None run={run} />;
  return (
    <div class="processes">
      <Filters run={run} rows={rows} wanted={wanted} />
      {shown.length === 0 ? (
        <p class="soft">No process is so. Choose another state or node.</p>
      ) : (
        <div class="processes-table" style={{ height: `${Math.max(120, Math.min(shown.length, 18) * 32 + 52)}px` }}>
          <Table
            label="Processes"
            columns={columns}
            rows={table}
            sort={{ column: wanted.sort, isAscending: wanted.isAscending }}
            onSort={({ column, isAscending }) => setQuery({ sort: `${isAscending ? "" : "-"}${column}` })}
          />
        </div>
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

function isWatched(run: RunInFull): boolean {
  return run.processes.some((one) => one.progress !== null);
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

function columnsOf(run: RunInFull): Column<ProcessRow>[] {
  const all: (Column<ProcessRow> | false)[] = [
    { id: "rank", title: "Rank", width: 80, isFixed: true, isNumeric: true, cell: ({ process }) => process.rank },
    {
      id: "state",
      title: "State",
      width: 140,
      cell: ({ state }) => <span class={`status ${TONES[state]}`}>{STATES[state]}</span>,
    },
    { id: "exit", title: "Exit", width: 120, cell: ({ process }) => exitText(process) },
    run.nodes.length > 1 && { id: "node", title: "Node", width: 130, cell: ({ node }) => node?.ip ?? "–" },
    {
      id: "log",
      title: "Log",
      width: 190,
      cell: ({ log, process }) =>
        log ? <Link to={logAddress(run.run_id, log)}>{process.log.split("/").at(-1) ?? log}</Link> : <span class="soft">–</span>,
    },
    ...(isWatched(run) ? PROGRESS : []),
    { id: "started", title: "Started", width: 120, cell: ({ process }) => <Moment ns={process.started_ns} /> },
    {
      id: "took",
      title: "Duration",
      width: 110,
      isNumeric: true,
      cell: ({ process }) => <Duration from={process.started_ns} to={process.ended_ns} />,
    },
    { id: "pid", title: "PID", width: 90, isNumeric: true, cell: ({ process }) => process.pid ?? "–" },
  ];
  return all.filter((one) => one !== false).map((one) => ({ ...one, isSortable: SORTABLE.has(one.id) }));
}

const PROGRESS: readonly Column<ProcessRow>[] = [
  { id: "step", title: "Step", width: 170, isNumeric: true, cell: (row) => <Step row={row} /> },
  {
    id: "rate",
    title: "Steps/s",
    width: 90,
    isNumeric: true,
    cell: ({ process }) => number(process.progress?.rate_per_s),
  },
  {
    id: "eta",
    title: "ETA",
    width: 100,
    isNumeric: true,
    cell: ({ process, state }) => (state === "running" && process.progress?.eta_s != null ? span(process.progress.eta_s * 1000) : "–"),
  },
  {
    id: "output",
    title: "Last output",
    width: 120,
    cell: ({ process }) => <Moment ns={process.progress?.last_output_ns} />,
  },
  { id: "stalls", title: "Stalls", width: 80, isNumeric: true, cell: ({ process }) => process.progress?.stalls ?? "–" },
];

function Step({ row }: { row: ProcessRow }) {
  const { step, total } = row.process.progress ?? {};
  if (step == null) return <span class="soft">–</span>;
  if (!total) return <>{step}</>;
  return (
    <span class="step">
      <progress value={step} max={total} aria-label={`Step of rank ${row.process.rank}`} />
      <span>
        {step}/{total}
      </span>
    </span>
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

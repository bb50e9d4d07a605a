// The processes of a run as a table: which one is where, how it stands, how far it has come, and its log.

import { useMemo } from "preact/hooks";
import type { RunInFull } from "../api/run";
import { number, span } from "../format";
import { Link } from "../parts/link";
import { Table } from "../parts/table";
import type { Column, Rows, Sort } from "../parts/table_model";
import { Duration, Moment } from "../parts/time";
import { logAddress } from "./log_address";
import { type ProcessRow, SORTABLE, type State, STATES } from "./process_rows";
import { exitText } from "./process_words";
import "./processes.css";

const TONES: Readonly<Record<State, string>> = {
  stalled: "warn",
  running: "active",
  failed: "bad",
  ended: "off",
  completed: "good",
};

const MOST_ROWS = 18;

interface Props {
  readonly run: RunInFull;
  /** Those that are wanted, in their order. */
  readonly shown: readonly ProcessRow[];
  readonly sort: Sort;
  readonly onSort: (sort: Sort) => void;
  /** So many rows are seen without scrolling. */
  readonly most?: number;
}

export function ProcessesTable({ run, shown, sort, onSort, most = MOST_ROWS }: Props) {
  const columns = useMemo(() => columnsOf(run), [run.run_id, run.nodes.length > 1, isWatched(run)]);
  const rows = useMemo<Rows<ProcessRow>>(
    () => ({
      count: shown.length,
      at: (index) => shown[index],
      keyOf: (row) => String(row.process.rank),
      nameOf: (row) => `rank ${row.process.rank}`,
    }),
    [shown],
  );
  return (
    <div class="processes-table" style={{ height: `${Math.max(120, Math.min(shown.length, most) * 32 + 52)}px` }}>
      <Table label="Processes" columns={columns} rows={rows} sort={sort} onSort={onSort} />
    </div>
  );
}

function isWatched(run: RunInFull): boolean {
  return run.processes.some((one) => one.progress !== null);
}

function columnsOf(run: RunInFull): Column<ProcessRow>[] {
  const all: (Column<ProcessRow> | false)[] = [
    { id: "rank", title: "Rank", width: 80, isFixed: true, isNumeric: true, cell: ({ process }) => process.rank },
    {
      id: "state",
      title: "State",
      width: 160,
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

// The children of a run as a table: what each was given, what it came to, and the best so far.

import { useMemo } from "preact/hooks";
import { address } from "../address";
import { number, span } from "../format";
import { Link } from "../parts/link";
import { Status } from "../parts/status";
import { Table } from "../parts/table";
import type { Column, Rows, Sort } from "../parts/table_model";
import { Moment } from "../parts/time";
import { ordered, paramNames, type Trial, type Trials } from "./trials";
import "./children.css";

const MOST_PARAMS = 40;
const MOST_ROWS = 18;

interface Props {
  readonly trials: Trials;
  readonly sort: Sort;
  readonly onSort: (sort: Sort) => void;
  /** So many rows are seen without scrolling. */
  readonly most?: number;
}

export function TrialsTable({ trials, sort, onSort, most = MOST_ROWS }: Props) {
  const { column, isAscending } = sort;
  const shown = useMemo(() => ordered(trials.trials, column, isAscending), [trials, column, isAscending]);
  const names = useMemo(() => paramNames(trials.trials), [trials]);
  const columns = useMemo(() => columnsOf(trials, names), [names.join("\n"), trials.goal?.metric, trials.best_run_id]);
  const rows = useMemo<Rows<Trial>>(
    () => ({ count: shown.length, at: (index) => shown[index], keyOf: (one) => one.run_id, nameOf: (one) => one.name || one.run_id }),
    [shown],
  );
  return (
    <div class="children-table" style={{ height: `${Math.max(120, Math.min(shown.length, most) * 32 + 52)}px` }}>
      <Table label="Children" columns={columns} rows={rows} sort={sort} onSort={onSort} />
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
      cell: (one: Trial) => <Parameter text={one.params[name]} />,
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

const LONG = 12; // characters

/** A number of many digits is shown in few; the whole of it is seen on hover. */
function Parameter({ text = "–" }: { text: string | undefined }) {
  const isLong = text.length > LONG && text.trim() !== "" && Number.isFinite(Number(text));
  return <span title={text}>{isLong ? number(Number(text)) : text}</span>;
}

// Where the run's processes are, and how they and their nodes stand.

import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import type { Sort } from "../parts/table_model";
import { Nodes } from "../run/nodes_table";
import { chosen, type ProcessRow, rowsOf, type State, STATES } from "../run/process_rows";
import { ProcessesTable } from "../run/processes_table";
import type { RunOfWidget } from "./model";

const MOST_ROWS = 8;

export function Places({ run }: { run: RunOfWidget }): JSX.Element | null {
  const known = useRef<ReadonlyMap<number, ProcessRow>>(new Map());
  const [sort, setSort] = useState<Sort>({ column: "rank", isAscending: true });
  const rows = useMemo(() => (known.current = rowsOf(run, known.current)), [run]);
  const shown = useMemo(() => chosen(rows.values(), { state: "", node: "", sort: sort.column, isAscending: sort.isAscending }), [rows, sort]);
  if (run.is_client_run) return null;
  return (
    <details class="places">
      <summary>Processes and nodes ({told(run, rows)})</summary>
      <div class="nodes-and-processes overview">
        {rows.size > 0 && <ProcessesTable run={run} shown={shown} sort={sort} onSort={setSort} most={MOST_ROWS} />}
        {run.left_out.processes > 0 && <p class="soft">{run.left_out.processes} more processes are in Studio.</p>}
        <Nodes run={run} />
        {run.left_out.nodes > 0 && <p class="soft">{run.left_out.nodes} more nodes are in Studio.</p>}
      </div>
    </details>
  );
}

function told(run: RunOfWidget, rows: ReadonlyMap<number, ProcessRow>): string {
  const counts = new Map<State, number>();
  for (const { state } of rows.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
  const states = (Object.keys(STATES) as State[]).filter((state) => counts.has(state));
  const waiting = run.world_size - rows.size - run.left_out.processes;
  const words = states.map((state) => `${counts.get(state)} ${STATES[state].toLowerCase()}`);
  return [...words, ...(waiting > 0 ? [`${waiting} not started`] : [])].join(", ");
}

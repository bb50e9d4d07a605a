// Somebody's charts of some runs, arranged as that person likes.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { RunStatus } from "../api/types";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { FINAL } from "../parts/status";
import { duplicate, freeId, move, put, remove, resize, type Charts } from "./arrangement";
import { BarChart } from "./bar_chart";
import "./board.css";
import { BoardTools } from "./board_tools";
import { ChartCard, type CardActions } from "./chart_card";
import { ChartEditor, draftOf } from "./editor";
import { useSteady } from "./hooks";
import { LineChart } from "./line_chart";
import { titleOf, type ChartSpec, type Size } from "./model";
import { ParallelChart } from "./parallel_chart";
import { askRows, labelsOf, metricsOf, tones as tonesOf, type Row, type Scope } from "./rows";
import { ScatterChart } from "./scatter_chart";
import type { RunOfChart } from "./series";
import { useCharts, type Names } from "./use_charts";

interface Props {
  readonly scope: Scope;
  /** The name under which this browser keeps the charts. */
  readonly place: string;
  /** What there is to show; undefined while it is not known. */
  readonly names: Names | undefined;
  /** The runs of the scope, where the owner knows them: what metrics come to is asked for only where a chart shows it. */
  readonly rows?: readonly Row[];
}

// Lines of more runs than this at once say nothing.
const MOST_LINES = 50;
const NEWEST_LINES = 10;
const LIVE_MS = 4000;
const IDLE_MS = 15_000;
const HEIGHTS: Readonly<Record<Size, number>> = { small: 170, medium: 230, large: 330 };
// What stands below a chart as a rule.
const NOTE_PX = 22;
const LEGEND_PX = 63;

export function Board({ scope, place, names, rows }: Props) {
  const charted = useCharts(place, names);
  const [edited, setEdited] = useState<{ chart: ChartSpec; isNew: boolean } | null>(null);
  const [said, setSaid] = useState("");
  const found = useRows(scope, charted.charts, rows);
  const shown = useShown(found.rows ?? rows, scope);
  const focused = useRef<string | null>(null);
  const saved = useRef<string | null>(null);
  useEffect(() => {
    if (edited) return; // what is below a dialog takes no focus
    if (focused.current) document.getElementById(`handle-${focused.current}`)?.focus();
    focused.current = null;
  });

  function actionsOf(chart: ChartSpec, at: number): CardActions {
    const { charts, change } = charted;
    const moveTo = (id: string, to: number) => {
      const next = move(charts, id, to);
      change(next);
      setSaid(`${titleOf(charts.find((one) => one.id === id)!)} is now ${next.findIndex((one) => one.id === id) + 1} of ${next.length}`);
    };
    return {
      edit: () => setEdited({ chart, isNew: false }),
      duplicate: () => change(duplicate(charts, chart.id)),
      remove: () => change(remove(charts, chart.id)),
      resize: (size) => change(resize(charts, chart.id, size)),
      moveBy: (by) => {
        focused.current = chart.id;
        moveTo(chart.id, at + by);
      },
      dropOn: (id) => id !== chart.id && moveTo(chart.id, charts.findIndex((one) => one.id === id)),
      change: (next) => change(put(charts, next)),
    };
  }

  if (!names) return <div class="board-loading" />;
  return (
    <div class="board">
      <BoardTools charted={charted} onAdd={(kind) => setEdited({ chart: draftOf(kind, freeId(charted.charts), names), isNew: true })} />
      <p class="hidden" role="status">
        {said}
      </p>
      {found.error && !found.rows && <ErrorNote>{found.error.message}</ErrorNote>}
      {!charted.charts.length && (
        <EmptyNote title={names.metrics.length ? "No charts" : "No metrics yet"}>
          <p>{names.metrics.length ? "Add one with the button above." : "Charts appear when a run logs a metric, such as run.log(\"loss\", 0.5)."}</p>
        </EmptyNote>
      )}
      <div class="board-grid">
        {charted.charts.map((chart, at) => (
          <ChartCard key={chart.id} chart={chart} actions={actionsOf(chart, at)}>
            <div style={{ minHeight: `${roomOf(chart)}px` }}>
              {shown && (found.rows || chart.kind === "lines") && <Shown chart={chart} rows={found.rows ?? []} shown={shown} place={place} />}
            </div>
          </ChartCard>
        ))}
      </div>
      {edited && (
        <ChartEditor
          {...edited}
          names={names}
          onSave={(chart) => {
            charted.change(put(charted.charts, chart));
            saved.current = chart.id;
          }}
          onClose={() => {
            setEdited(null);
            focused.current = saved.current; // where it is seen
            saved.current = null;
          }}
        />
      )}
    </div>
  );
}

/** Kept free from the beginning: what comes, and who is selected in the table below, moves nothing under somebody's pointer. */
function roomOf({ size, kind }: ChartSpec): number {
  return HEIGHTS[size] + (kind === "lines" ? LEGEND_PX : NOTE_PX);
}

function Shown({ chart, rows, shown, place }: { chart: ChartSpec; rows: readonly Row[]; shown: ShownRuns; place: string }) {
  const height = HEIGHTS[chart.size];
  const { tones, labels } = shown;
  if (chart.kind === "lines") return <LineChart {...{ chart, height, labels }} runs={shown.runs} cursorKey={place} />;
  if (chart.kind === "scatter") return <ScatterChart {...{ chart, height, labels, rows, tones }} />;
  if (chart.kind === "parallel") return <ParallelChart {...{ chart, height, labels, rows }} />;
  return <BarChart {...{ chart, height, labels, rows, tones }} />;
}

function useRows(scope: Scope, charts: Charts, known: readonly Row[] | undefined): { rows: readonly Row[] | undefined; error: Error | undefined } {
  const metrics = useMemo(() => metricsOf(charts), [charts]);
  const [everyMs, setEveryMs] = useState(LIVE_MS);
  const isAsked = !known || metrics.length > 0;
  const key = isAsked ? JSON.stringify([scope, metrics]) : "";
  const { data, error } = useSteady(key, async () => (isAsked ? askRows(scope, metrics) : undefined), isAsked ? everyMs : 0);
  useEffect(() => setEveryMs(data?.every((row) => FINAL.has(row.status as RunStatus)) ? IDLE_MS : LIVE_MS), [data]);
  return { rows: isAsked ? data : known, error };
}

interface ShownRuns {
  /** Those that lines are drawn of. */
  readonly runs: readonly RunOfChart[];
  readonly tones: ReadonlyMap<string, number>;
  readonly labels: ReadonlyMap<string, string>;
}

function useShown(rows: readonly Row[] | undefined, scope: Scope): ShownRuns | undefined {
  const tones = useRef<ReadonlyMap<string, number>>(new Map());
  const limit = scope.runIds.length ? MOST_LINES : NEWEST_LINES;
  // The same runs in the same states are the same lines, however often they are asked for.
  const key = rows && JSON.stringify(rows.map(({ run_id, name, status, started_ns }) => [run_id, name, status, started_ns]));
  return useMemo(() => {
    if (!rows) return undefined;
    const drawn = rows.slice(0, limit);
    tones.current = tonesOf(tones.current, drawn.map((row) => row.run_id));
    const runs = drawn.map((row) => ({ ...row, tone: tones.current.get(row.run_id) ?? 0 }));
    return { runs, tones: tones.current, labels: labelsOf(rows) };
  }, [key, limit]);
}

// A chart of lines over numbers, times or durations: zoom by dragging, a cursor by mouse and keyboard that charts may share, a
// tooltip and a legend with all lines, and the values as text and as a table for those who do not see it.

import { useMemo, useRef, useState } from "preact/hooks";
import "./chart/chart.css";
import { cursorFor } from "./chart/cursors";
import { Legend } from "./chart/legend";
import { align, inOrder, type Line, type Range } from "./chart/lines";
import { isDark } from "./chart/palette";
import type { Shape, Span, View, XIs } from "./chart/shape";
import { PlotArea } from "./chart/plot_area";
import { rangeOfX, rangeOfY, type Limits } from "./chart/ranges";
import { ValuesTable } from "./chart/table";
import { focusOn, usePlot } from "./chart/use_plot";

export type { Line, Range } from "./chart/lines";
export type { Span, XIs } from "./chart/shape";
export type { Limits } from "./chart/ranges";

export interface ChartProps {
  /** What the chart shows, for its accessible name; it is not drawn. */
  readonly title: string;
  readonly lines: readonly Line[];
  /** Times are milliseconds since 1970, durations milliseconds. */
  readonly xIs?: XIs;
  readonly xLabel?: string;
  readonly yLabel?: string;
  readonly isLogX?: boolean;
  readonly isLogY?: boolean;
  /** How far the axes reach where the data does not say. */
  readonly xLimits?: Limits;
  readonly yLimits?: Limits;
  /** Of the drawing, in pixels, without the legend. */
  readonly height?: number;
  /** Charts with the same key share their cursor. */
  readonly cursorKey?: string;
  /** Given, the zoom is the caller's: it is told what is asked for (null: all), and says what is shown. */
  readonly zoom?: Range | null;
  readonly onZoom?: (range: Range | null) => void;
  readonly formatY?: (y: number) => string;
  /** Named stretches of x behind the lines, such as phases. */
  readonly spans?: readonly Span[];
  readonly hasLegend?: boolean;
  /** A few words below the chart, such as that it is sampled. */
  readonly note?: string | undefined;
}

const NO_SPANS: readonly Span[] = [];
const ALL: Limits = [null, null];

export function Chart(props: ChartProps) {
  const { title, xIs = "number", isLogX = false, isLogY = false, height = 240, hasLegend = true } = props;
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [isTable, setTable] = useState(false);
  const [ownZoom, setOwnZoom] = useState<Range | null>(null);
  const zoom = props.onZoom ? (props.zoom ?? null) : ownZoom;
  const setZoom = props.onZoom ?? setOwnZoom;
  const cursor = useMemo(() => cursorFor(props.cursorKey), [props.cursorKey]);
  const shape: Shape = { xIs, isLogX, isLogY, isDark: isDark.value, xLabel: props.xLabel ?? "", yLabel: props.yLabel ?? "" };
  const view = useView(props, zoom, hidden);
  const place = useRef<HTMLDivElement>(null);
  const plot = usePlot({ place, shape, view, height, cursor, setZoom, isTable });
  return (
    <div class="chart">
      {isTable ? (
        <ValuesTable {...{ title, xIs, height }} lines={view.lines} shown={view.x} xLabel={shape.xLabel} formatY={props.formatY} />
      ) : (
        <PlotArea {...{ title, view, shape, cursor, place, plot, height, setZoom }} formatY={props.formatY} />
      )}
      <div class="chart-foot">
        {hasLegend && (
          <Legend lines={view.lines} hidden={hidden} onHidden={setHidden} onPoint={(key) => focusOn(plot.current, view, key)} />
        )}
        <span class="grow" />
        {props.note && <span class="chart-note">{props.note}</span>}
        <div class="chart-tools">
          {zoom && (
            <button type="button" onClick={() => setZoom(null)}>
              Reset zoom
            </button>
          )}
          <button type="button" aria-pressed={isTable} aria-label={`Values of ${title} as a table`} onClick={() => setTable(!isTable)}>
            Table
          </button>
        </div>
      </div>
    </div>
  );
}

function useView(props: ChartProps, zoom: Range | null, hidden: ReadonlySet<string>): View {
  const { isLogX = false, isLogY = false, xLimits = ALL, yLimits = ALL, spans = NO_SPANS } = props;
  const lines = useMemo(() => inOrder(props.lines), [props.lines]);
  const aligned = useMemo(() => align(lines, isLogX, isLogY), [lines, isLogX, isLogY]);
  const [zoomFrom, zoomTo] = zoom ?? [];
  return useMemo(() => {
    const seen = lines.filter((line) => !hidden.has(line.key));
    const x = zoomFrom === undefined || zoomTo === undefined ? rangeOfX(lines, isLogX, xLimits) : ([zoomFrom, zoomTo] as const);
    return { x, y: rangeOfY(seen, x, isLogY, yLimits), lines, aligned, hidden, spans };
  }, [aligned, hidden, spans, zoomFrom, zoomTo, ...xLimits, ...yLimits]);
}

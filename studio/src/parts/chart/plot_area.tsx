// The drawing with its cursor, as an element that the keyboard moves along x and that says what stands there.

import type { Signal } from "@preact/signals";
import { useId, useMemo } from "preact/hooks";
import { number } from "../../format";
import type { Cursor } from "./cursors";
import { labelOfX } from "./plot";
import type { Shape, View, XIs } from "./shape";
import { zoomed } from "./ranges";
import { neighbour, readingsAt, summary } from "./reading";
import { Tooltip } from "./tooltip";
import type { PlotRef, SetZoom } from "./use_plot";

interface Props {
  readonly title: string;
  readonly view: View;
  readonly shape: Shape;
  readonly cursor: Signal<Cursor>;
  readonly place: { current: HTMLDivElement | null };
  readonly plot: PlotRef;
  readonly height: number;
  readonly setZoom: SetZoom;
  readonly formatY: ((y: number) => string) | undefined;
}

export function PlotArea({ title, view, shape, cursor, place, plot, height, setZoom, formatY }: Props) {
  const described = useId();
  const said = useMemo(() => summary(view.lines, view.x, (at) => labelOfX(shape.xIs, at)), [view, shape.xIs]);
  const { x } = cursor.value;
  const leftOf = (at: number) => (plot.current ? plot.current.valToPos(at, "x") + plot.current.over.offsetLeft : null);
  return (
    <div
      class="chart-plot"
      style={{ minHeight: `${height}px` }}
      tabIndex={0}
      role="slider"
      aria-label={`${title}: cursor`}
      aria-describedby={described}
      aria-valuemin={view.x[0]}
      aria-valuemax={view.x[1]}
      aria-valuenow={x ?? view.x[0]}
      aria-valuetext={x === null ? "no place chosen" : spoken(view, shape.xIs, x)}
      onKeyDown={(event) => {
        if (!event.ctrlKey && !event.metaKey && onKey(event.key, view, shape.isLogX, cursor, setZoom)) event.preventDefault();
      }}
      onBlur={() => {
        cursor.value = { x: null, by: null };
      }}
    >
      <div ref={place} />
      {!view.aligned.xs.length && <p class="chart-none">No values yet</p>}
      <Tooltip {...{ cursor, formatY, leftOf }} lines={view.lines} hidden={view.hidden} shown={view.x} xIs={shape.xIs} />
      <p class="hidden" id={described}>
        {said} Arrow keys move the cursor, + and − zoom, Escape shows all.
      </p>
    </div>
  );
}

function spoken(view: View, xIs: XIs, x: number): string {
  const readings = readingsAt(view.lines, view.hidden, x, view.x).map(({ line, y }) => `${line.label} ${number(y)}`);
  return `${labelOfX(xIs, x)}: ${readings.join(", ") || "no values"}`;
}

const STEPS: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  PageDown: -10,
  PageUp: 10,
  Home: -Infinity,
  End: Infinity,
};

/** Whether the key was one of the chart's. */
function onKey(key: string, view: View, isLog: boolean, cursor: Signal<Cursor>, setZoom: SetZoom): boolean {
  const { x } = cursor.peek();
  const step = STEPS[key];
  if (step !== undefined) cursor.value = { x: neighbour(view.aligned.xs, x, step, view.x), by: null };
  else if (key === "+" || key === "-") {
    const centre = x ?? (isLog ? Math.sqrt(view.x[0] * view.x[1]) : (view.x[0] + view.x[1]) / 2);
    setZoom(zoomed(view.x, centre, key === "+" ? 0.5 : 2, isLog));
  } else if (key === "Escape") {
    if (x === null) setZoom(null);
    cursor.value = { x: null, by: null };
  } else return false;
  return true;
}

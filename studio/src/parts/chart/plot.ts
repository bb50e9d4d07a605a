// One chart as uPlot draws it: its series, axes, and what is drawn behind and over them.

import uPlot from "uplot";
import { number } from "../../format";
import { toneOf, type Aligned, type Column, type Line, type Range } from "./lines";
import { colourOf, dashOf } from "./palette";
import { drawGaps, drawSpans } from "./layers";
import type { Shape, View, XIs } from "./shape";
import { durationLabel, durationTicks, linearTicks, logTicks, numberLabel, timeLabels, timeTicks } from "./ticks";

export interface Handlers {
  readonly view: () => View;
  readonly onCursor: (x: number | null) => void;
  readonly onSelect: (range: Range) => void;
  readonly onReset: () => void;
}

export const labelOfX = (xIs: XIs, x: number) =>
  xIs === "duration" ? durationLabel(x) : xIs === "time" ? EXACT.format(x) : number(x);

const EXACT = new Intl.DateTimeFormat(undefined, {
  ...{ year: "numeric", month: "short", day: "numeric" },
  ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
});
const FONT = '11px system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
const MOST_DOTS = 40;

/** The data in uPlot's order: x, then the bands, then what is faint, then the lines. */
export function dataOf(aligned: Aligned): uPlot.AlignedData {
  return [aligned.xs, ...order(aligned).map((one) => one.column)] as uPlot.AlignedData;
}

interface Entry {
  readonly column: Column;
  readonly kind: "low" | "high" | "faint" | "main";
  readonly line: number;
}

function order(aligned: Aligned): Entry[] {
  const of = (kind: Entry["kind"], columns: readonly (Column | undefined)[]) =>
    columns.map((column, place) => column && { column, kind, line: aligned.stretches[place]!.line });
  const [low, high] = [of("low", aligned.low), of("high", aligned.high)];
  const bands = low.flatMap((one, place) => [one, high[place]]);
  const all = [...bands, ...of("faint", aligned.faint), ...of("main", aligned.main)];
  return all.filter((one): one is Entry => one !== undefined);
}

/** What the series of a drawing are; the drawing can be kept where this stays. */
export function signature(aligned: Aligned, lines: readonly Line[]): string {
  return JSON.stringify(order(aligned).map(({ kind, line }) => [kind, line, lines[line]!.key, lines[line]!.tone, lines[line]!.isStepped]));
}

/** The key of the line that each of uPlot's series behind x belongs to. */
export function seriesKeys({ aligned, lines }: View): string[] {
  return order(aligned).map(({ line }) => lines[line]!.key);
}

export function optionsOf(shape: Shape, size: { width: number; height: number }, handlers: Handlers, of: Element): uPlot.Options {
  const { lines, aligned, hidden } = handlers.view();
  const entries = order(aligned);
  const style = getComputedStyle(of);
  const ink = { text: style.color, grid: style.borderTopColor };
  return {
    ...size,
    legend: { show: false },
    series: [{}, ...entries.map((entry) => seriesOf(entry, lines, hidden, shape.isDark))],
    bands: bandsOf(entries, lines, shape.isDark),
    scales: {
      x: { time: false, distr: shape.isLogX ? 3 : 1, range: () => [...handlers.view().x] },
      y: { distr: shape.isLogY ? 3 : 1, range: () => [...handlers.view().y] },
    },
    axes: [xAxis(shape, ink, () => handlers.view().aligned.xs.every(Number.isInteger)), yAxis(shape, ink)],
    cursor: cursorOf(entries, handlers),
    focus: { alpha: 0.25 },
    padding: [10, 12, null, null],
    hooks: {
      drawClear: [(plot) => drawSpans(plot, handlers.view().spans, ink.grid, ink.text)],
      draw: [(plot) => drawGaps(plot, handlers.view(), shape)],
      setCursor: [(plot) => handlers.onCursor((plot.cursor.left ?? -1) >= 0 ? plot.posToVal(plot.cursor.left!, "x") : null)],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < 2) return;
          handlers.onSelect([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

function seriesOf(entry: Entry, lines: readonly Line[], hidden: ReadonlySet<string>, onDark: boolean): uPlot.Series {
  const line = lines[entry.line]!;
  const tone = toneOf(line, entry.line);
  const colour = colourOf(tone, onDark);
  const show = !hidden.has(line.key);
  if (entry.kind !== "main" && entry.kind !== "faint") return { show, stroke: "transparent", width: 0, points: { show: false } };
  if (entry.kind === "faint") return { show, stroke: `${colour}55`, width: 1, points: { show: false } };
  return {
    show,
    stroke: colour,
    width: 1.6,
    dash: [...dashOf(tone)],
    ...(line.isStepped ? { paths: uPlot.paths.stepped!({ align: 1 }) } : {}),
    points: {
      size: 5,
      show: (_, series, from, to) => countOf(_.data[series]!, from, to) <= MOST_DOTS,
      filter: (plot, series, isShown) => (isShown ? null : lonely(plot.data[series]!, ...shownPlaces(plot))),
    },
  };
}

function shownPlaces(plot: uPlot): [number, number] {
  const xs = plot.data[0];
  const { min = 0, max = 0 } = plot.scales["x"]!;
  return [Math.max(0, plot.valToIdx(min) - 1), Math.min(xs.length - 1, plot.valToIdx(max) + 1)];
}

function countOf(column: ArrayLike<number | null | undefined>, from: number, to: number): number {
  let count = 0;
  for (let place = from; place <= to && count <= MOST_DOTS; place++) if (column[place] != null) count++;
  return count;
}

/** Points between two gaps, which no line would show. */
function lonely(column: ArrayLike<number | null | undefined>, from: number, to: number): number[] {
  const found: number[] = [];
  let candidate = -1;
  let isAfterGap = true;
  for (let place = from; place <= to; place++) {
    const value = column[place];
    if (value === undefined) continue;
    if (value === null) {
      if (candidate >= 0) found.push(candidate);
      candidate = -1;
      isAfterGap = true;
    } else {
      candidate = isAfterGap ? place : -1;
      isAfterGap = false;
    }
  }
  if (candidate >= 0) found.push(candidate);
  return found;
}

function bandsOf(entries: readonly Entry[], lines: readonly Line[], onDark: boolean): uPlot.Band[] {
  return entries.flatMap((entry, place) =>
    entry.kind === "low"
      ? [{ series: [place + 2, place + 1] as [number, number], fill: `${colourOf(toneOf(lines[entry.line]!, entry.line), onDark)}2e` }]
      : [],
  );
}

function cursorOf(entries: readonly Entry[], handlers: Handlers): uPlot.Cursor {
  const isMain = (series: number) => entries[series - 1]?.kind === "main";
  return {
    y: false,
    drag: { x: true, y: false, setScale: false, dist: 4 },
    points: { size: (_, series) => (isMain(series) ? 7 : 0), width: 1.5 },
    // A point that lies far from the cursor is another run's time or step.
    hover: { prox: 24, skip: [undefined] },
    bind: {
      dblclick: () => () => {
        handlers.onReset();
        return null;
      },
    },
  };
}

interface Ink {
  readonly text: string;
  readonly grid: string;
}

const ruled = (ink: Ink) => ({ stroke: ink.grid, width: 1 });

/** `areWhole`: between whole numbers there are no marks, since there are no steps. */
function xAxis({ xIs, isLogX, xLabel }: Shape, ink: Ink, areWhole: () => boolean): uPlot.Axis {
  const room = xIs === "number" ? 70 : 80;
  return {
    stroke: ink.text,
    font: FONT,
    labelFont: FONT,
    labelSize: 18,
    ...(xLabel ? { label: xLabel } : {}),
    size: xIs === "time" ? 42 : 28,
    grid: { ...ruled(ink), show: false },
    ticks: { ...ruled(ink), size: 4 },
    border: { ...ruled(ink), show: true },
    splits: (plot, _, from, to) => {
      const most = Math.max(1, Math.floor(plot.bbox.width / uPlot.pxRatio / room));
      if (isLogX) return logTicks(from, to, most);
      if (xIs === "number") return linearTicks(from, to, most, areWhole() ? 1 : 0);
      return (xIs === "time" ? timeTicks : durationTicks)(from, to, most);
    },
    filter: (_, splits) => splits,
    values: (_, splits) => (xIs === "time" ? timeLabels(splits) : splits.map(xIs === "duration" ? durationLabel : numberLabel)),
  };
}

function yAxis({ isLogY, yLabel }: Shape, ink: Ink): uPlot.Axis {
  return {
    stroke: ink.text,
    font: FONT,
    labelFont: FONT,
    labelSize: 18,
    ...(yLabel ? { label: yLabel } : {}),
    size: (_, values) => 16 + 6.5 * Math.max(3, ...(values ?? []).map((value) => String(value).length)),
    grid: ruled(ink),
    ticks: { show: false },
    splits: (plot, _, from, to) => (isLogY ? logTicks : linearTicks)(from, to, Math.max(2, Math.floor(plot.bbox.height / uPlot.pxRatio / 25))),
    filter: (_, splits) => splits,
    values: (_, splits) => splits.map(numberLabel),
  };
}

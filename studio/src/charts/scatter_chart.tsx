// One point a run: a parameter or a metric against a metric.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { number } from "../format";
import { colourOf, isDark } from "../parts/chart/palette";
import { opened } from "../parts/chart/ranges";
import { linearTicks, logTicks, numberLabel } from "../parts/chart/ticks";
import { address, go } from "../router";
import { scaleOf, type Value } from "./coordinates";
import { sourceName, titleOf, type ScatterChart as Spec, type Source } from "./model";
import { pointed } from "./point";
import { valueIn, type Row } from "./rows";

interface Props {
  readonly chart: Spec;
  readonly rows: readonly Row[];
  readonly tones: ReadonlyMap<string, number>;
  readonly labels: ReadonlyMap<string, string>;
  readonly height: number;
}

const EDGE = { left: 62, right: 16, top: 12, bottom: 40 };

export function ScatterChart({ chart, rows, tones, labels, height }: Props) {
  const { place, width } = useWidth();
  const inner = { width: Math.max(40, width - EDGE.left - EDGE.right), height: height - EDGE.top - EDGE.bottom };
  const x = axisOf(rows.map((row) => valueIn(row, chart.x)), chart.isLogX, Math.floor(inner.width / 70));
  const y = axisOf(rows.map((row) => valueIn(row, chart.y)), chart.isLogY, Math.floor(inner.height / 34));
  const points = rows.flatMap((row) => {
    const [at, up] = [x.at(valueIn(row, chart.x)), y.at(valueIn(row, chart.y))];
    return at === null || up === null ? [] : [{ row, left: EDGE.left + at * inner.width, top: EDGE.top + (1 - up) * inner.height }];
  });
  const last = rows.length - points.length;
  return (
    <div ref={place} class="svg-chart">
      <svg width={width} height={height} role="group" aria-label={`${titleOf(chart)}: ${points.length} runs`}>
        {y.ticks.map(({ at, label }) => (
          <g key={label} transform={`translate(0,${EDGE.top + (1 - at) * inner.height})`}>
            <line x1={EDGE.left} x2={EDGE.left + inner.width} class="svg-grid" />
            <text x={EDGE.left - 6} dy="0.32em" text-anchor="end">
              {short(label)}
            </text>
          </g>
        ))}
        {x.ticks.map(({ at, label }) => (
          <text key={label} x={EDGE.left + at * inner.width} y={height - EDGE.bottom + 14} text-anchor="middle">
            {short(label)}
          </text>
        ))}
        <line x1={EDGE.left} x2={EDGE.left + inner.width} y1={height - EDGE.bottom} y2={height - EDGE.bottom} class="svg-axis" />
        <text x={EDGE.left + inner.width / 2} y={height - 6} text-anchor="middle" class="svg-name">
          {sourceName(chart.x)}
        </text>
        <text transform={`translate(12,${EDGE.top + inner.height / 2}) rotate(-90)`} text-anchor="middle" class="svg-name">
          {sourceName(chart.y)}
        </text>
        {points.map(({ row, left, top }) => (
          <Point key={row.run_id} {...{ row, left, top, chart }} tone={tones.get(row.run_id)} label={labels.get(row.run_id) ?? row.run_id} />
        ))}
      </svg>
      <p class="chart-note">{last ? `${last === 1 ? "1 run has" : `${last} runs have`} no such values.` : ""}</p>
    </div>
  );
}

interface PointProps {
  readonly row: Row;
  readonly chart: Spec;
  readonly tone: number | undefined;
  readonly label: string;
  readonly left: number;
  readonly top: number;
}

function Point({ row, chart, tone, label, left, top }: PointProps) {
  const said = (source: Source) => `${sourceName(source)} ${number(valueIn(row, source))}`;
  const isPointed = pointed.value === row.run_id;
  return (
    <a
      href={address("runs", row.run_id)}
      aria-label={`${label}: ${said(chart.x)}, ${said(chart.y)}`}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        go(address("runs", row.run_id));
      }}
      onMouseEnter={() => (pointed.value = row.run_id)}
      onMouseLeave={() => (pointed.value = null)}
      onFocus={() => (pointed.value = row.run_id)}
      onBlur={() => (pointed.value = null)}
    >
      <title>{`${label}\n${said(chart.x)}\n${said(chart.y)}`}</title>
      <circle cx={left} cy={top} r={isPointed ? 7 : 4.5} fill={tone === undefined ? "var(--soft)" : colourOf(tone, isDark.value)} fill-opacity="0.8" />
    </a>
  );
}

interface Axis {
  readonly ticks: readonly { readonly at: number; readonly label: string }[];
  readonly at: (value: Value) => number | null;
}

const INSET = 0.04;

/** An axis of numbers (with a logarithm where that is asked for), or of words. */
function axisOf(values: readonly Value[], isLog: boolean, most: number): Axis {
  const numbers = values.filter((value): value is number => typeof value === "number" && (!isLog || value > 0));
  if (values.some((value) => typeof value === "string")) {
    const words = scaleOf("", values);
    const inset = (at: number | null) => (at === null ? null : INSET + at * (1 - 2 * INSET));
    return { ticks: words.ticks.map(({ at, label }) => ({ at: inset(at)!, label })), at: (value) => inset(words.at(value)) };
  }
  const [from, to] = opened(Math.min(...numbers), Math.max(...numbers), isLog);
  const part = (value: number) => (isLog ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from));
  const at = (value: Value) => (typeof value === "number" && (!isLog || value > 0) ? INSET + part(value) * (1 - 2 * INSET) : null);
  const ticks = (isLog ? logTicks : linearTicks)(from, to, Math.max(2, most));
  return { at, ticks: ticks.map((value) => ({ at: at(value)!, label: numberLabel(value) })) };
}

export function short(label: string, most = 14): string {
  return label.length > most ? `${label.slice(0, Math.max(1, most - 1))}…` : label;
}

/** The width of an element, followed. */
export function useWidth(): { place: { current: HTMLDivElement | null }; width: number } {
  const place = useRef<HTMLDivElement | null>(null);
  const [width, setWidth] = useState(300);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return;
    setWidth(element.clientWidth);
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { place, width };
}

// Parallel coordinates: an axis for each parameter and metric, a line for each run. Brushes on the axes keep the runs within them.

import { useState } from "preact/hooks";
import { number } from "../format";
import { AxisBrush } from "./axis_brush";
import { passes, scaleOf, type Brushes, type Scale } from "./coordinates";
import { sourceName, titleOf, type ParallelChart as Spec } from "./model";
import { pointed } from "./point";
import { valueIn, type Row } from "./rows";
import { short, useWidth } from "./scatter_chart";

interface Props {
  readonly chart: Spec;
  readonly rows: readonly Row[];
  readonly labels: ReadonlyMap<string, string>;
  readonly height: number;
}

const EDGE = { left: 70, right: 70, top: 34, bottom: 12 };

export function ParallelChart({ chart, rows, labels, height }: Props) {
  const { place, width } = useWidth();
  const [brushes, setBrushes] = useState<Brushes>({});
  const names = chart.axes.map(sourceName);
  const scales = chart.axes.map((source, at) => scaleOf(names[at]!, rows.map((row) => valueIn(row, source))));
  const inner = height - EDGE.top - EDGE.bottom;
  const leftOf = (at: number) => (scales.length < 2 ? width / 2 : EDGE.left + (at * (width - EDGE.left - EDGE.right)) / (scales.length - 1));
  const lines = rows.map((row) => {
    const places = chart.axes.map((source, at) => scales[at]!.at(valueIn(row, source)));
    return { row, places, isIn: passes(Object.fromEntries(names.map((name, at) => [name, places[at] ?? null])), brushes) };
  });
  const kept = lines.filter((line) => line.isIn).length;
  const isBrushed = Object.keys(brushes).length > 0;
  const front = [...lines].sort((a, b) => rank(a) - rank(b));
  return (
    <div ref={place} class="svg-chart">
      <svg width={width} height={height} role="group" aria-label={`${titleOf(chart)}: ${kept} of ${rows.length} runs`}>
        {front.map(({ row, places, isIn }) => (
          <path
            key={row.run_id}
            d={pathOf(places, leftOf, inner)}
            class={`parallel-run${isIn ? "" : " out"}${pointed.value === row.run_id ? " pointed" : ""}`}
            style={{ stroke: shadeOf(places[places.length - 1] ?? null) }}
            onMouseEnter={() => (pointed.value = row.run_id)}
            onMouseLeave={() => (pointed.value = null)}
          >
            <title>{[labels.get(row.run_id), ...chart.axes.map((source, at) => `${names[at]} ${number(valueIn(row, source))}`)].join("\n")}</title>
          </path>
        ))}
        {scales.map((scale, at) => (
          <g key={scale.name} transform={`translate(${leftOf(at)},${EDGE.top})`}>
            <AxisMarks scale={scale} height={inner} isLast={at === scales.length - 1 && at > 0} most={Math.floor((leftOf(1) - leftOf(0)) / 7.5)} />
            <AxisBrush
              name={scale.name}
              height={inner}
              brush={brushes[scale.name]}
              onBrush={(brush) => setBrushes(withBrush(brushes, scale.name, brush))}
            />
          </g>
        ))}
      </svg>
      <p class="chart-note" role="status">
        {isBrushed ? `${kept} of ${rows.length} runs pass. ` : `Coloured by ${names[names.length - 1] ?? ""}. Drag along an axis to keep the runs within. `}
        {isBrushed && (
          <button type="button" class="quiet" onClick={() => setBrushes({})}>
            Clear the brushes
          </button>
        )}
      </p>
    </div>
  );
}

const rank = ({ row, isIn }: { row: Row; isIn: boolean }) => (pointed.value === row.run_id ? 2 : isIn ? 1 : 0);

function withBrush(brushes: Brushes, name: string, brush: readonly [number, number] | null): Brushes {
  const { [name]: _, ...others } = brushes;
  return brush ? { ...others, [name]: brush } : others;
}

/** The run's line; it is interrupted where it has no value. */
function pathOf(places: readonly (number | null)[], leftOf: (at: number) => number, height: number): string {
  let isDown = false;
  return places
    .map((place, at) => {
      if (place === null) {
        isDown = false;
        return "";
      }
      const word = `${isDown ? "L" : "M"}${leftOf(at).toFixed(1)},${(EDGE.top + (1 - place) * height).toFixed(1)}`;
      isDown = true;
      return word;
    })
    .join("");
}

/** From one colour to the other along the last axis; what has no value there is grey. */
function shadeOf(place: number | null): string {
  return place === null ? "var(--soft)" : `color-mix(in oklab, var(--shade-high) ${Math.round(place * 100)}%, var(--shade-low))`;
}

function AxisMarks({ scale, height, isLast, most }: { scale: Scale; height: number; isLast: boolean; most: number }) {
  return (
    <>
      <text y={-18} text-anchor="middle" class="svg-name">
        {short(scale.name, Math.max(5, most))}
        <title>{scale.name}</title>
      </text>
      <line y2={height} class="svg-axis" />
      {scale.ticks.map(({ at, label }) => (
        <text key={label} x={isLast ? 8 : -8} y={(1 - at) * height} dy="0.32em" text-anchor={isLast ? "start" : "end"} class="svg-halo">
          {short(label)}
        </text>
      ))}
    </>
  );
}

// The values of all lines at the cursor, the greatest first.

import type { Signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { number } from "../../format";
import type { Cursor } from "./cursors";
import { toneOf, type Line, type Range } from "./lines";
import { colourOf, isDark } from "./palette";
import { labelOfX } from "./plot";
import type { XIs } from "./shape";
import { readingsAt, type Reading } from "./reading";

interface Props {
  readonly cursor: Signal<Cursor>;
  readonly lines: readonly Line[];
  readonly hidden: ReadonlySet<string>;
  readonly shown: Range;
  readonly xIs: XIs;
  readonly formatY: ((y: number) => string) | undefined;
  /** Pixels from the left of the chart. */
  readonly leftOf: (x: number) => number | null;
}

const IN_COLUMN = 16;
const BESIDE = 14;

export function Tooltip({ cursor, lines, hidden, shown, xIs, formatY, leftOf }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const { x } = cursor.value;
  const left = x === null || x < shown[0] || x > shown[1] ? null : leftOf(x);
  const readings = left === null || x === null ? [] : readingsAt(lines, hidden, x, shown);
  useLayoutEffect(() => {
    const element = box.current;
    const around = element?.parentElement;
    if (!element || !around || left === null) return;
    const width = element.offsetWidth;
    const fits = left + BESIDE + width <= around.clientWidth;
    element.style.left = `${fits ? left + BESIDE : Math.max(0, left - BESIDE - width)}px`;
  });
  if (left === null || x === null || !readings.length) return null;
  const columns = Math.ceil(readings.length / IN_COLUMN);
  return (
    <div class={`chart-tip${columns > 1 ? " below" : ""}`} ref={box} aria-hidden="true">
      <div class="chart-tip-x">{labelOfX(xIs, closest(readings, x))}</div>
      <ol style={{ columnCount: columns }}>
        {readings.map(({ line, place, y }) => (
          <li key={line.key}>
            <span class="chart-swatch" style={{ background: colourOf(toneOf(line, place), isDark.value) }} />
            <span class="chart-tip-name">{line.label}</span>
            <span class="figure">{y !== null && formatY && Number.isFinite(y) ? formatY(y) : number(y)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

/** The x of the point that lies closest. */
function closest(readings: readonly Reading[], x: number): number {
  return readings.reduce((best, reading) => (Math.abs(reading.x - x) < Math.abs(best - x) ? reading.x : best), readings[0]!.x);
}

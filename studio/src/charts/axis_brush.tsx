// The part of an axis that is kept: drawn by dragging, moved by the arrow keys, taken away by Escape or a click.

import { useRef } from "preact/hooks";

type Brush = readonly [from: number, to: number];

interface Props {
  readonly name: string;
  readonly height: number;
  readonly brush: Brush | undefined;
  readonly onBrush: (brush: Brush | null) => void;
}

const REACH = 12;
const STEP = 0.05;

export function AxisBrush({ name, height, brush, onBrush }: Props) {
  const from = useRef<number | null>(null);
  const element = useRef<SVGRectElement>(null);
  const placeOf = (event: PointerEvent) => {
    const box = element.current!.getBoundingClientRect();
    return within(1 - (event.clientY - box.top) / box.height);
  };
  return (
    <>
      {brush && <rect class="brush" x={-6} width={12} y={(1 - brush[1]) * height} height={Math.max(2, (brush[1] - brush[0]) * height)} />}
      <rect
        ref={element}
        class="brush-area"
        x={-REACH}
        width={2 * REACH}
        height={height}
        tabindex={0}
        role="slider"
        aria-orientation="vertical"
        aria-label={`Runs kept by ${name}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round((brush?.[0] ?? 0) * 100)}
        aria-valuetext={brush ? `from ${Math.round(brush[0] * 100)} to ${Math.round(brush[1] * 100)} percent of the axis` : "all"}
        onPointerDown={(event) => {
          from.current = placeOf(event);
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={(event) => {
          if (from.current !== null) onBrush(between(from.current, placeOf(event)));
        }}
        onPointerUp={(event) => {
          if (from.current !== null && Math.abs(placeOf(event) - from.current) * height < 3) onBrush(null);
          from.current = null;
        }}
        onKeyDown={(event) => {
          const next = moved(event.key, event.shiftKey, brush);
          if (next === undefined) return;
          event.preventDefault();
          onBrush(next);
        }}
      />
    </>
  );
}

/** Arrows move the brush, with Shift its lower end; undefined: not a key of ours. */
function moved(key: string, isShift: boolean, brush: Brush | undefined): Brush | null | undefined {
  if (key === "Escape") return brush ? null : undefined;
  const by = key === "ArrowUp" ? STEP : key === "ArrowDown" ? -STEP : 0;
  if (!by) return undefined;
  if (!brush) return by > 0 ? [0.5, 1] : [0, 0.5];
  if (isShift) return between(within(brush[0] + by), brush[1]);
  const length = brush[1] - brush[0];
  const low = Math.min(1 - length, Math.max(0, brush[0] + by));
  return [low, low + length];
}

const within = (place: number) => Math.min(1, Math.max(0, place));
const between = (a: number, b: number): Brush => (a < b ? [a, b] : [b, a]);

// Every child by its iteration with what it came to, and the best so far as a stepped line.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { number } from "../format";
import { linearTicks } from "../parts/chart/ticks";
import { address } from "../address";
import { useGo } from "../parts/link";
import type { Trials } from "./trials";

const HEIGHT = 260;
const EDGE = { left: 62, right: 14, top: 12, bottom: 34 };
const DOT = 4;

interface Scale {
  readonly from: number;
  readonly to: number;
  readonly at: (value: number) => number;
}

export function TrialsChart({ trials, metric }: { trials: Trials; metric: string }) {
  const { place, width } = useWidth();
  const go = useGo();
  const shown = trials.trials.filter((one) => one.value !== null);
  const values = shown.map((one) => one.value!);
  const x = scale(0, Math.max(1, ...shown.map((one) => one.iteration)), EDGE.left, width - EDGE.right, 0);
  const y = scale(Math.min(...values), Math.max(...values), HEIGHT - EDGE.bottom, EDGE.top, 0.06);
  return (
    <figure class="trials-chart" ref={place}>
      <figcaption>
        {metric} by iteration
        <span class="key dot">a child</span>
        <span class="key line">best so far</span>
        <span class="key best">best</span>
      </figcaption>
      {width > 0 && shown.length > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label={summary(trials, metric)}>
          <Axes x={x} y={y} width={width} />
          <path class="best-so-far" d={steps(trials, x, y)} />
          {shown.map((one) => (
            <circle
              key={one.run_id}
              class={one.run_id === trials.best_run_id ? "best" : one.status === "Failed" ? "failed" : ""}
              cx={x.at(one.iteration)}
              cy={y.at(one.value!)}
              r={one.run_id === trials.best_run_id ? DOT + 2 : DOT}
              onClick={() => go(address("runs", one.run_id))}
            >
              <title>{`${one.iteration}: ${one.name || one.run_id}, ${metric} ${number(one.value)}`}</title>
            </circle>
          ))}
        </svg>
      )}
    </figure>
  );
}

function Axes({ x, y, width }: { x: Scale; y: Scale; width: number }) {
  const across = linearTicks(x.from, x.to, Math.max(2, Math.floor(width / 90))).filter(Number.isInteger);
  return (
    <g class="axes">
      {linearTicks(y.from, y.to, 6).map((tick) => (
        <g key={tick}>
          <line x1={EDGE.left} x2={width - EDGE.right} y1={y.at(tick)} y2={y.at(tick)} />
          <text x={EDGE.left - 8} y={y.at(tick) + 4} text-anchor="end">
            {number(tick)}
          </text>
        </g>
      ))}
      {across.map((tick) => (
        <text key={tick} x={x.at(tick)} y={HEIGHT - EDGE.bottom + 18} text-anchor="middle">
          {tick}
        </text>
      ))}
    </g>
  );
}

function steps({ trials }: Trials, x: Scale, y: Scale): string {
  let [path, last] = ["", null as number | null];
  for (const { iteration, best } of trials) {
    if (best === null || best === last) continue;
    path += last === null ? `M${x.at(iteration)},${y.at(best)}` : `H${x.at(iteration)}V${y.at(best)}`;
    last = best;
  }
  return path && `${path}H${x.at(x.to)}`;
}

function scale(from: number, to: number, start: number, end: number, pad: number): Scale {
  const room = (to - from || Math.abs(to) || 1) * pad;
  const [low, high] = [from - room, to + room];
  const length = high - low || 1;
  return { from: low, to: high, at: (value) => start + ((value - low) / length) * (end - start) };
}

function summary({ trials, best_run_id, best_value }: Trials, metric: string): string {
  const best = trials.find((one) => one.run_id === best_run_id);
  return `${metric} of ${trials.length} children by iteration${best ? `; the best is ${number(best_value)}, of iteration ${best.iteration}` : ""}`;
}

function useWidth() {
  const place = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return;
    const look = () => setWidth(element.clientWidth);
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { place, width };
}

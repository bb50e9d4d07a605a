// The frame of a small drawing: axes with marks and names, and whatever stands between them.

import type { ComponentChildren } from "preact";
import { linearTicks, numberLabel } from "../../parts/chart/ticks";
import type { Range } from "../../parts/chart";
import { useWidth } from "../scatter_chart";

export interface Place {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
  readonly width: number;
  readonly height: number;
}

interface Props {
  readonly label: string;
  readonly x: Range;
  readonly y: Range;
  readonly xName: string;
  readonly yName: string;
  readonly height: number;
  readonly mostWidth: number;
  readonly children: (place: Place) => ComponentChildren;
}

const EDGE = { left: 56, right: 14, top: 10, bottom: 40 };

export function SvgPlot({ label, x, y, xName, yName, height, mostWidth, children }: Props) {
  const { place, width: found } = useWidth();
  const width = Math.min(found, mostWidth);
  const inner = { width: Math.max(20, width - EDGE.left - EDGE.right), height: height - EDGE.top - EDGE.bottom };
  const toX = (value: number) => EDGE.left + ((value - x[0]) / (x[1] - x[0] || 1)) * inner.width;
  const toY = (value: number) => EDGE.top + (1 - (value - y[0]) / (y[1] - y[0] || 1)) * inner.height;
  return (
    <div ref={place} class="svg-chart">
      <svg width={width} height={height} role="img" aria-label={label}>
        {linearTicks(...y, Math.max(2, Math.floor(inner.height / 34))).map((value) => (
          <g key={value} transform={`translate(0,${toY(value)})`}>
            <line x1={EDGE.left} x2={EDGE.left + inner.width} class="svg-grid" />
            <text x={EDGE.left - 6} dy="0.32em" text-anchor="end">
              {numberLabel(value)}
            </text>
          </g>
        ))}
        {linearTicks(...x, Math.max(2, Math.floor(inner.width / 60))).map((value) => (
          <text key={value} x={toX(value)} y={height - EDGE.bottom + 15} text-anchor="middle">
            {numberLabel(value)}
          </text>
        ))}
        <line x1={EDGE.left} x2={EDGE.left + inner.width} y1={height - EDGE.bottom} y2={height - EDGE.bottom} class="svg-axis" />
        <text x={EDGE.left + inner.width / 2} y={height - 5} text-anchor="middle" class="svg-name">
          {xName}
        </text>
        <text transform={`translate(11,${EDGE.top + inner.height / 2}) rotate(-90)`} text-anchor="middle" class="svg-name">
          {yName}
        </text>
        {children({ x: toX, y: toY, ...inner })}
      </svg>
    </div>
  );
}

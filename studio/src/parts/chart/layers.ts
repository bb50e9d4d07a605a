// What is drawn behind and over the lines of a chart: named stretches of x, and marks where a line has NaN or an infinity.

import uPlot from "uplot";
import { toneOf } from "./lines";
import { colourOf } from "./palette";
import type { Shape, Span, View } from "./shape";

export function drawSpans(plot: uPlot, spans: readonly Span[], fill: string, text: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.font = `${10 * uPlot.pxRatio}px system-ui, "DejaVu Sans", sans-serif`;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  spans.forEach((span, place) => {
    if (span.isMark) return drawMark(plot, span);
    const left = Math.max(bbox.left, plot.valToPos(span.from, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(span.to, "x", true));
    if (right <= left) return;
    ctx.globalAlpha = place % 2 ? 0.15 : 0.4;
    ctx.fillStyle = fill;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    if (ctx.measureText(span.label).width + 6 > right - left) return;
    ctx.globalAlpha = 0.9;
    ctx.fillStyle = text;
    ctx.fillText(span.label, left + 4 * uPlot.pxRatio, bbox.top + 3 * uPlot.pxRatio);
  });
  ctx.restore();
}

const MARK_COLOUR = "#e5484d";

function drawMark(plot: uPlot, { from, label }: Span): void {
  const { ctx, bbox } = plot;
  const left = plot.valToPos(from, "x", true);
  if (left < bbox.left || left > bbox.left + bbox.width) return;
  ctx.globalAlpha = 1;
  ctx.fillStyle = MARK_COLOUR;
  ctx.fillRect(left - uPlot.pxRatio, bbox.top, 2 * uPlot.pxRatio, bbox.height);
  ctx.fillText(label, left + 4 * uPlot.pxRatio, bbox.top + 14 * uPlot.pxRatio);
}

/** A small cross at the foot of the chart where a line has NaN or an infinity. */
export function drawGaps(plot: uPlot, { lines, hidden, x }: View, shape: Shape): void {
  const { ctx, bbox } = plot;
  const arm = 3 * uPlot.pxRatio;
  const y = bbox.top + bbox.height - 2 * arm;
  ctx.save();
  ctx.lineWidth = 1.5 * uPlot.pxRatio;
  lines.forEach((line, place) => {
    if (hidden.has(line.key)) return;
    ctx.strokeStyle = colourOf(toneOf(line, place), shape.isDark);
    ctx.beginPath();
    for (let at = 0; at < line.xs.length; at++) {
      const value = line.ys[at];
      if (value == null || Number.isFinite(value) || line.xs[at]! < x[0] || line.xs[at]! > x[1]) continue;
      const centre = plot.valToPos(line.xs[at]!, "x", true);
      ctx.moveTo(centre - arm, y - arm);
      ctx.lineTo(centre + arm, y + arm);
      ctx.moveTo(centre + arm, y - arm);
      ctx.lineTo(centre - arm, y + arm);
    }
    ctx.stroke();
  });
  ctx.restore();
}

// What regressions are judged by: a histogram of residuals, and predictions against what is true, with their spread.

import { colourOf, isDark } from "../../parts/chart/palette";
import { opened } from "../../parts/chart/ranges";
import { binsOf, predictionsOf, sum, type Bins } from "./documents";
import { SvgPlot } from "./svg_plot";

type Data = Readonly<Record<string, unknown>>;

export function Residuals({ name, data }: { name: string; data: Data }) {
  const bins = binsOf(data);
  return (
    <>
      <Histogram label={`Residuals ${name}: ${sum(bins.counts)} in ${bins.counts.length} bins`} bins={bins} xName="residual" height={260} />
    </>
  );
}

export function PredictionsChart({ name, data }: { name: string; data: Data }) {
  const found = predictionsOf(data);
  const centres = found.counts.map((_, at) => (found.edges[at]! + found.edges[at + 1]!) / 2);
  const reached = found.averages.flatMap((average, at) => (average === null ? [] : [average - (found.errors[at] ?? 0), average + (found.errors[at] ?? 0)]));
  const all = opened(Math.min(...found.edges, ...reached), Math.max(...found.edges, ...reached), false);
  return (
    <>
      <SvgPlot label={`Predictions ${name}: predicted against true values`} x={all} y={all} xName="true value" yName="predicted" height={320} mostWidth={560}>
        {({ x, y }) => (
          <>
            <line x1={x(all[0])} y1={y(all[0])} x2={x(all[1])} y2={y(all[1])} class="svg-axis" stroke-dasharray="3 4" />
            {centres.map((centre, at) => {
              const average = found.averages[at];
              if (average === null || average === undefined) return null;
              const error = found.errors[at] ?? 0;
              return (
                <g key={at} stroke={colourOf(0, isDark.value)} fill={colourOf(0, isDark.value)}>
                  <title>{`true ${centre}, predicted ${average} ± ${error}, ${found.counts[at]} of them`}</title>
                  <line x1={x(centre)} x2={x(centre)} y1={y(average - error)} y2={y(average + error)} stroke-width="1.5" />
                  {[-1, 1].map((side) => (
                    <line key={side} x1={x(centre) - 4} x2={x(centre) + 4} y1={y(average + side * error)} y2={y(average + side * error)} stroke-width="1.5" />
                  ))}
                  <circle cx={x(centre)} cy={y(average)} r="3.5" />
                </g>
              );
            })}
          </>
        )}
      </SvgPlot>
      <Histogram label={`True values of ${name}`} bins={found} xName="true value" height={130} shown={all} />
    </>
  );
}

interface HistogramProps {
  readonly label: string;
  readonly bins: Bins;
  readonly xName: string;
  readonly height: number;
  readonly shown?: readonly [number, number];
}

function Histogram({ label, bins, xName, height, shown }: HistogramProps) {
  const { edges, counts } = bins;
  const range = shown ?? opened(edges[0] ?? 0, edges[edges.length - 1] ?? 1, false);
  const most = Math.max(1, ...counts);
  return (
    <SvgPlot {...{ label, xName, height }} x={range} y={[0, most * 1.05]} yName="count" mostWidth={560}>
      {({ x, y }) =>
        counts.map((count, at) => (
          <rect
            key={at}
            x={x(edges[at]!) + 0.5}
            width={Math.max(0.5, x(edges[at + 1]!) - x(edges[at]!) - 1)}
            y={y(count)}
            height={Math.max(0, y(0) - y(count))}
            fill={colourOf(0, isDark.value)}
            fill-opacity="0.8"
          >
            <title>{`${edges[at]} to ${edges[at + 1]}: ${count}`}</title>
          </rect>
        ))
      }
    </SvgPlot>
  );
}

// An accuracy table as its curves: ROC, and precision against recall, a line for each class.

import { dashOf, colourOf, isDark } from "../../parts/chart/palette";
import { Swatch } from "../../parts/chart/legend";
import { accuracyOf, areaBelow, precisionRecallOf, rocOf, type Point } from "./documents";
import { SvgPlot } from "./svg_plot";

export function AccuracyTable({ name, data }: { name: string; data: Readonly<Record<string, unknown>> }) {
  const { labels, tables } = accuracyOf(data);
  const roc = tables.map(rocOf);
  const precision = tables.map(precisionRecallOf);
  return (
    <>
      <div class="typed-pair">
        <figure>
          <figcaption>ROC</figcaption>
          <Curves label={`ROC of ${name}`} curves={roc} xName="false positive rate" yName="true positive rate" hasDiagonal />
        </figure>
        <figure>
          <figcaption>Precision and recall</figcaption>
          <Curves label={`Precision and recall of ${name}`} curves={precision} xName="recall" yName="precision" />
        </figure>
      </div>
      <table class="plain figure typed-narrow">
        <thead>
          <tr>
            <th scope="col">Class</th>
            <th scope="col">Area below ROC</th>
            <th scope="col">Area below precision and recall</th>
          </tr>
        </thead>
        <tbody>
          {labels.map((label, at) => (
            <tr key={label}>
              <th scope="row">
                <Swatch tone={at} /> {label}
              </th>
              <td>{areaBelow(roc[at] ?? []).toFixed(4)}</td>
              <td>{areaBelow(precision[at] ?? []).toFixed(4)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

interface CurvesProps {
  readonly label: string;
  readonly curves: readonly (readonly Point[])[];
  readonly xName: string;
  readonly yName: string;
  readonly hasDiagonal?: boolean;
}

function Curves({ label, curves, xName, yName, hasDiagonal }: CurvesProps) {
  return (
    <SvgPlot {...{ label, xName, yName }} x={[0, 1]} y={[0, 1]} height={300} mostWidth={420}>
      {({ x, y }) => (
        <>
          {hasDiagonal && <line x1={x(0)} y1={y(0)} x2={x(1)} y2={y(1)} class="svg-axis" stroke-dasharray="3 4" />}
          {curves.map((points, at) => (
            <path
              key={at}
              fill="none"
              stroke={colourOf(at, isDark.value)}
              stroke-width="1.8"
              stroke-dasharray={dashOf(at).join(" ")}
              d={points.map(([a, b], place) => `${place ? "L" : "M"}${x(a).toFixed(1)},${y(b).toFixed(1)}`).join("")}
            />
          ))}
        </>
      )}
    </SvgPlot>
  );
}

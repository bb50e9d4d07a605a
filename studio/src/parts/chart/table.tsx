// The values of a chart as a table, for those who would rather read them.

import { number } from "../../format";
import type { Line, Range } from "./lines";
import { labelOfX } from "./plot";
import type { XIs } from "./shape";
import { rowsOf } from "./reading";

interface Props {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly shown: Range;
  readonly xIs: XIs;
  readonly xLabel: string;
  readonly height: number;
  readonly formatY: ((y: number) => string) | undefined;
}

export function ValuesTable({ title, lines, shown, xIs, xLabel, height, formatY }: Props) {
  const { rows, count } = rowsOf(lines, shown);
  const text = (y: number | null | undefined) =>
    y === undefined ? "" : y !== null && formatY && Number.isFinite(y) ? formatY(y) : number(y);
  return (
    <div class="chart-values" tabIndex={0} role="region" aria-label={`Values of ${title}`} style={{ height: `${height}px` }}>
      {rows.length < count && (
        <p class="soft">
          {rows.length} of {count} places, evenly picked. Zoom in to see the others.
        </p>
      )}
      <table class="plain figure">
        <thead>
          <tr>
            <th scope="col">{xLabel || "x"}</th>
            {lines.map((line) => (
              <th scope="col" key={line.key}>
                {line.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.x}>
              <th scope="row">{labelOfX(xIs, row.x)}</th>
              {row.ys.map((y, place) => (
                <td key={lines[place]!.key}>{text(y)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

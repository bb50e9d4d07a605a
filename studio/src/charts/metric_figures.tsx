// What metrics come to: the table of them, and the cells of a row.

import type { ComponentChildren, JSX } from "preact";
import { number } from "../format";
import type { Metric } from "./metrics";
import { numberOf, type Sampled } from "./series";
import { Sparkline } from "./sparkline";

/** The heads of the cells. */
export const FIGURES = ["Course", "Last", "Least", "Greatest", "First", "Mean", "Count"] as const;

export function MetricFigures({ metric, series }: { metric: Metric; series: Sampled | undefined }) {
  return (
    <>
      <td>
        <Sparkline series={series} />
      </td>
      <td title={metric.last_step === null ? "" : `at step ${metric.last_step}`}>{number(numberOf(metric.last) ?? String(metric.last))}</td>
      <td>{number(metric.min)}</td>
      <td>{number(metric.max)}</td>
      <td>{number(numberOf(metric.first) ?? String(metric.first))}</td>
      <td>{number(metric.mean)}</td>
      <td>
        {metric.count.toLocaleString("en")}
        {metric.nan_count > 0 && <span class="metric-nan"> {metric.nan_count} NaN</span>}
      </td>
    </>
  );
}

/** The metrics of a run; its rows are `children`, table bodies. */
export function MetricTable({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <div class="metric-scroll" tabIndex={0} role="region" aria-label="Metrics">
      <table class="plain figure metric-table">
        <thead>
          <tr>
            {["Metric", ...FIGURES].map((title) => (
              <th scope="col" key={title}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        {children}
      </table>
    </div>
  );
}

// Where an experiment's charts stand, beside the table of its runs.

import { lazy } from "../parts/lazy";

/** What the charts are about. */
export interface ChartsProps {
  readonly experiment: string;
  /** The table's filter, as the collector takes it. */
  readonly filter: string;
  /** The runs that are selected; empty: all that the filter leaves. */
  readonly runIds: readonly string[];
}

const Dashboard = lazy(() => import("../charts/dashboard").then((all) => all.Dashboard));

export function ChartsPlace({ experiment, filter, runIds }: ChartsProps) {
  return (
    <div class="charts-place">
      <Dashboard experiment={experiment} filter={filter} selected={runIds} />
    </div>
  );
}

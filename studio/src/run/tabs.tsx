// The tabs of a run's page, /runs/<id>/<key>, in their order.

import { lazy, type Lazy } from "../parts/lazy";
import type { TabProps } from "./tab";

export interface Tab {
  readonly key: string;
  readonly name: string;
  readonly Show: Lazy<TabProps>;
  /** Most people go there next: its code comes while they look at the first one. */
  readonly isNext?: boolean;
}

export const TABS: readonly Tab[] = [
  { key: "overview", name: "Overview", Show: lazy(() => import("./overview").then((all) => all.Overview)) },
  { key: "metrics", name: "Metrics", Show: lazy(() => import("../charts/run_metrics").then((all) => all.RunMetrics)) },
  { key: "logs", name: "Outputs + logs", Show: lazy(() => import("../log/tab").then((all) => all.LogsTab)), isNext: true },
  { key: "monitoring", name: "Monitoring", Show: lazy(() => import("./monitoring").then((all) => all.Monitoring)) },
  { key: "processes", name: "Processes", Show: lazy(() => import("./processes").then((all) => all.Processes)) },
  { key: "children", name: "Children", Show: lazy(() => import("./children").then((all) => all.Children)) },
];

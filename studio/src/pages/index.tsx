// The pages by the first part of their address; those with a name stand in the navigation.

import type { JSX } from "preact";
import { lazy } from "../parts/lazy";
import { NotFoundPage } from "./not_found";

export interface Page {
  readonly name: string;
  readonly show: (rest: readonly string[]) => JSX.Element;
}

const RunPage = lazy(() => import("./run").then((all) => all.RunPage));

export const PAGES: Readonly<Record<string, Page>> = {
  runs: { name: "Runs", show: (rest) => (rest.length ? <RunPage rest={rest} /> : <NotFoundPage />) },
  experiments: { name: "Experiments", show: () => <NotFoundPage /> },
  compute: { name: "Compute", show: () => <NotFoundPage /> },
};

// The pages by the first part of their address; those with a name stand in the navigation.

import type { JSX } from "preact";
import { lazy } from "../parts/lazy";

export interface Page {
  readonly name: string;
  readonly show: (rest: readonly string[]) => JSX.Element;
  /** Asks for the code of the page before it is shown. */
  readonly load: (rest: readonly string[]) => void;
}

const RunPage = lazy(() => import("./run").then((all) => all.RunPage));
const RunsPage = lazy(() => import("./runs").then((all) => all.RunsPage));
const ExperimentsPage = lazy(() => import("./experiments").then((all) => all.ExperimentsPage));
const NewRunPage = lazy(() => import("./new").then((all) => all.NewRunPage));
const ComputePage = lazy(() => import("./compute").then((all) => all.ComputePage));
const ComparePage = lazy(() => import("./compare").then((all) => all.ComparePage));

export const PAGES: Readonly<Record<string, Page>> = {
  runs: {
    name: "Runs",
    show: (rest) => (rest.length ? <RunPage rest={rest} /> : <RunsPage />),
    load: (rest) => (rest.length ? RunPage : RunsPage).load(),
  },
  experiments: { name: "Experiments", show: (rest) => <ExperimentsPage rest={rest} />, load: ExperimentsPage.load },
  compute: { name: "Compute", show: (rest) => <ComputePage rest={rest} />, load: ComputePage.load },
  new: { name: "", show: () => <NewRunPage />, load: NewRunPage.load },
  compare: { name: "", show: () => <ComparePage />, load: ComparePage.load },
};

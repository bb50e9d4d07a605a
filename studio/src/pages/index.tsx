// The pages by the first part of their address; those with a name stand in the navigation.

import type { JSX } from "preact";
import { NotFoundPage } from "./not_found";

export interface Page {
  readonly name: string;
  readonly show: (rest: readonly string[]) => JSX.Element;
}

export const PAGES: Readonly<Record<string, Page>> = {
  runs: { name: "Runs", show: () => <NotFoundPage /> },
  experiments: { name: "Experiments", show: () => <NotFoundPage /> },
  compute: { name: "Compute", show: () => <NotFoundPage /> },
};

import type { RunInFull } from "../api/run";

/** What each tab of a run's page is given: the run as it is now, and how to ask for it again at once. */
export interface TabProps {
  readonly run: RunInFull;
  readonly refresh: () => void;
}

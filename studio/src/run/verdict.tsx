// The verdict on a run, asked for as long as it may change.

import { useRef } from "preact/hooks";
import { get } from "../api/client";
import { type RunInFull, runPath } from "../api/run";
import { useLive } from "../live";
import { type Decided, hasFailed, VerdictView } from "./verdict_view";

const LIVE_MS = 5000;

/** Nothing where nothing has failed. */
export function Verdict({ run }: { run: RunInFull }) {
  return hasFailed(run) ? <Decision run={run} /> : null;
}

function Decision({ run }: { run: RunInFull }) {
  const ask = (signal: AbortSignal) => get<Decided>(`${runPath(run.run_id)}/verdict`, {}, signal);
  const known = useRef<Decided | undefined>(undefined);
  const found = useLive(`verdict ${run.run_id} ${run.status} ${run.is_complete}`, ask, run.is_complete ? 0 : LIVE_MS);
  known.current = found.data ?? known.current;
  return <VerdictView run={run} data={known.current} isBusy={!known.current && !found.error} />;
}

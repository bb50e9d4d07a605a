// A new run, /new: typed into the form, read from a run.toml, or (?from=<run>) as an earlier run was. It goes to a cluster's queue.

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { getClusters, type Cluster } from "../api/compute";
import { getOrder, submit } from "../api/orders";
import { getRun } from "../api/run";
import { useLive } from "../live";
import { again, type Draft, EMPTY, freshRunId, knownOf, submissionOf } from "../new/draft";
import { Fields } from "../new/fields";
import { snapshotOf } from "../new/snapshot";
import { TomlBox } from "../new/toml_box";
import { useCheck } from "../new/use_check";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { tell } from "../parts/notices";
import { address, go, place } from "../router";
import "../act/act.css";
import "./new.css";

const CLUSTERS_MS = 10_000;

/** What the form begins with, and what there is to say about it. */
interface Start {
  readonly draft: Draft;
  readonly note: string;
}

export function NewRunPage() {
  const from = place.value.query.get("from") ?? "";
  const wanted = place.value.query.get("cluster") ?? "";
  const clusters = useLive("clusters", getClusters, CLUSTERS_MS);
  const start = useLive(`start/${from}`, (signal) => startOf(from, signal));
  const error = clusters.error ?? start.error;
  if (!clusters.data || !start.data) return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="booting" />;
  if (clusters.data.length === 0) return <NoClusters />;
  const names = clusters.data.map((one) => one.cluster);
  const cluster = [wanted, start.data.draft.cluster, ...names].find((name) => names.includes(name)) ?? "";
  return <NewRun key={from} from={from} start={{ ...start.data, draft: { ...start.data.draft, cluster } }} clusters={clusters.data} />;
}

async function startOf(from: string, signal: AbortSignal): Promise<Start> {
  if (!from) return { draft: EMPTY, note: "" };
  try {
    return { draft: again(EMPTY, await getOrder(from, signal)), note: "" };
  } catch (failure) {
    if (!(failure instanceof ApiError) || failure.code !== "no-order") throw failure;
  }
  const run = await getRun(from, signal);
  const snapshot = await snapshotOf(run, signal);
  const code = snapshot ? "its command, and its code as it was" : "its command; its code is not known here";
  const why = `This run was not started from a queue, so not all of it is known here. What is known is filled in: ${code}.`;
  return { draft: knownOf(EMPTY, run, snapshot), note: `${why} Look at the environment and the variables before you start it.` };
}

function NoClusters() {
  return (
    <EmptyNote title="There is no cluster to run on">
      <p>
        <code>runyard clusters token NAME</code> makes one and prints a token; with it, <code>runyard agent</code> on a machine
        joins. Without a cluster, <code>runyard run -- python train.py</code> runs where you are.
      </p>
    </EmptyNote>
  );
}

function NewRun({ from, start, clusters }: { from: string; start: Start; clusters: readonly Cluster[] }) {
  const [draft, setDraft] = useState(start.draft);
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  const runId = useRef("");
  const checked = useCheck(draft);
  const change = (part: Partial<Draft>) => setDraft((before) => ({ ...before, ...part }));
  useEffect(() => {
    runId.current = ""; // another run than the one that may have been sent
    setError("");
  }, [draft]);

  async function begin(): Promise<void> {
    setBusy(true);
    setError("");
    try {
      runId.current ||= freshRunId(draft.experiment.trim() || "default", Date.now(), crypto.getRandomValues(new Uint8Array(4)));
      await submit(draft.cluster, submissionOf(draft, runId.current));
      tell(`The run is in the queue of cluster ${draft.cluster}.`);
      go(address("runs", runId.current));
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
      setBusy(false);
    }
  }

  return (
    <>
      <div class="head">
        <h1>{from ? "Run again" : "New run"}</h1>
        {from && (
          <span class="soft">
            as <Link to={address("runs", from)}>{start.draft.name || from}</Link>
          </span>
        )}
      </div>
      {start.note && (
        <p class="note" role="note">
          {start.note}
        </p>
      )}
      <form
        class="new-run"
        onSubmit={(event) => {
          event.preventDefault();
          void begin();
        }}
      >
        <TomlBox draft={draft} onDraft={setDraft} />
        <Fields draft={draft} change={change} clusters={clusters} />
        <footer class="new-foot">
          <button type="submit" disabled={isBusy || checked.state !== "good"}>
            Start run
          </button>
          <span role="status" class={`new-check ${checked.state}`}>
            {checked.text}
          </span>
          {error && <ErrorNote>{error}</ErrorNote>}
        </footer>
      </form>
    </>
  );
}

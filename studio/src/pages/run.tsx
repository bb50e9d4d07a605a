// The page of one run, /runs/<id>/<tab>: who it is and how it stands, above its tabs.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { getRun, type RunInFull } from "../api/run";
import { useLive } from "../live";
import { Copy } from "../parts/copy";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { Status } from "../parts/status";
import { Duration, Moment } from "../parts/time";
import { address } from "../router";
import { RunActions } from "../run/actions";
import { DownloadAll } from "../run/download_all";
import { TABS } from "../run/tabs";
import "./run.css";

// A run of a thousand processes is a large answer; what has ended changes only by people's hands.
const LIVE_MS = 2000;
const LARGE_MS = 5000;
const ENDED_MS = 30_000;
const LARGE_PROCESSES = 200;

export function RunPage({ rest }: { rest: readonly string[] }) {
  const [runId = "", key = "overview"] = rest;
  const found = useRun(runId);
  const isThere = found.run !== undefined;
  useEffect(() => {
    if (!isThere || !("requestIdleCallback" in window)) return;
    const idle = requestIdleCallback(() => TABS.forEach((one) => one.isNext && one.Show.load()));
    return () => cancelIdleCallback(idle);
  }, [isThere]);
  if (!found.run) return <Missing runId={runId} error={found.error} />;
  const tab = TABS.find((one) => one.key === key) ?? TABS[0];
  return (
    <>
      <Header run={found.run} refresh={found.refresh} />
      <nav class="tabs" aria-label="Run">
        {TABS.map(({ key: other, name }) => (
          <Link key={other} to={tabAddress(runId, other)} current={other === tab?.key}>
            {name}
          </Link>
        ))}
      </nav>
      {tab && <tab.Show key={`${runId}/${tab.key}`} run={found.run} refresh={found.refresh} />}
    </>
  );
}

function useRun(runId: string): { run: RunInFull | undefined; error: Error | undefined; refresh: () => void } {
  const [everyMs, setEveryMs] = useState(LIVE_MS);
  const { data, error, refresh } = useLive(`run ${runId}`, (signal) => getRun(runId, signal), everyMs);
  useEffect(() => setEveryMs(pace(data)), [data]);
  return { run: data, error, refresh };
}

function pace(run: RunInFull | undefined): number {
  if (!run) return LIVE_MS;
  if (run.is_complete) return ENDED_MS;
  return run.processes.length > LARGE_PROCESSES ? LARGE_MS : LIVE_MS;
}

function tabAddress(runId: string, key: string): string {
  return key === "overview" ? address("runs", runId) : address("runs", runId, key);
}

function Header({ run, refresh }: { run: RunInFull; refresh: () => void }) {
  return (
    <header class="run-header">
      <div class="run-title">
        <h1>{run.name || run.run_id}</h1>
        <Status status={run.status} />
        <span class="grow" />
        {!run.removed_ns && <DownloadAll run={run} />}
        <RunActions run={run} refresh={refresh} />
      </div>
      <Gone run={run} />
      <dl class="run-facts">
        <Fact name="Run id">
          <code>{run.run_id}</code> <Copy text={run.run_id} what="run id" />
        </Fact>
        <Fact name="Experiment">
          <Link to={address("experiments", run.experiment)}>{run.experiment}</Link> <span class="soft">#{run.number}</span>
        </Fact>
        {run.parent_run_id && (
          <Fact name="Child of">
            <Link to={address("runs", run.parent_run_id)}>{run.parent_run_id}</Link>
          </Fact>
        )}
        {run.cluster && (
          <Fact name="Cluster">
            <Link to={address("compute", run.cluster)}>{run.cluster}</Link>
          </Fact>
        )}
        <Fact name="Created">
          <Moment ns={run.created_ns} />
          {run.user && <span class="soft"> by {run.user}</span>}
        </Fact>
        <Fact name="Duration">
          <Duration from={run.started_ns} to={run.ended_ns} />
        </Fact>
      </dl>
    </header>
  );
}

function Gone({ run }: { run: RunInFull }) {
  return (
    <>
      {run.removed_ns && (
        <p class="note">
          The files of this run were removed <Moment ns={run.removed_ns} />: {run.removed_why}. What it recorded, and the list of its
          files, are still here.
        </p>
      )}
      {run.deleted_ms && (
        <p class="note">
          This run was archived <Moment ns={run.deleted_ms * 1e6} />; lists leave it out.
        </p>
      )}
    </>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Missing({ runId, error }: { runId: string; error: Error | undefined }) {
  if (error instanceof ApiError && error.status === 404) {
    return (
      <EmptyNote title={`There is no run ${runId}`}>
        <p>
          It may have been mistyped, or be another collector's. <Link to="/runs">All runs</Link> lists those that are here.
        </p>
      </EmptyNote>
    );
  }
  return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="booting" />;
}

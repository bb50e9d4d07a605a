// One run in a notebook: how it stands, its children, the end of a log, its metrics, its processes and nodes.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { address } from "../address";
import { type Going, GoingContext, Link } from "../parts/link";
import { Status } from "../parts/status";
import { Duration, KnownUntil } from "../parts/time";
import "../run/overview.css";
import { StateLine } from "../run/state_line";
import { hasFailed, VerdictView } from "../run/verdict_view";
import "../style.css";
import { ChildRuns } from "./child_runs";
import { LogTail } from "./log_tail";
import { Metrics } from "./metrics";
import type { Kernel, RunOfWidget } from "./model";
import { Places } from "./places";
import { type Silence, SilenceNote, useSilence } from "./silence";
import "./widget.css";

export function Widget({ kernel }: { kernel: Kernel }): JSX.Element {
  const silence = useSilence(kernel);
  const { opened, open } = useOpened(kernel, silence.isSilent);
  const { asked, ask } = useAsked(kernel, silence.isSilent);
  const page = kernel.page.value;
  const isOver = kernel.beat.value?.is_over ?? false;
  const going = useGoing(kernel, silence.isSilent, open, ask);
  if (!page) return <p class="waiting-for">Asking the notebook's kernel…</p>;
  const run = kernel.run.value;
  const isThere = run && run.run_id === page.run_id && (!opened || opened === page.run_id);
  const trouble = kernel.beat.value?.trouble;
  return (
    <GoingContext.Provider value={going}>
      <div class="widget">
        <Trail kernel={kernel} silence={silence} onBack={(id) => open(id, "back")} />
        <SilenceNote kernel={kernel} silence={silence} />
        {trouble && !silence.isSilent && (
          <p class={`note ${isOver ? "error" : "warn"}`} role="status">
            {trouble}
          </p>
        )}
        {isThere ? (
          <KnownUntil.Provider value={silence.isSilent ? (kernel.beat.value?.at_ms ?? null) : null}>
            <Run kernel={kernel} run={run} silence={silence} asked={asked} onAsk={ask} />
          </KnownUntil.Provider>
        ) : (
          <Expected runId={opened || page.run_id} isAsked={Boolean(opened)} />
        )}
      </div>
    </GoingContext.Provider>
  );
}

interface RunProps {
  readonly kernel: Kernel;
  readonly run: RunOfWidget;
  readonly silence: Silence;
  readonly asked: string;
  readonly onAsk: (path: string) => void;
}

function Run({ kernel, run, silence, asked, onAsk }: RunProps): JSX.Element {
  const trials = kernel.trials.value;
  const hasLogs = !run.is_client_run || Boolean(kernel.files.value?.length);
  return (
    <>
      <Head run={run} />
      <div class="overview">
        {hasFailed(run) && <VerdictView run={run} data={kernel.verdict.value ?? undefined} isBusy={false} />}
        <StateLine run={run} />
      </div>
      {trials && <ChildRuns trials={trials} />}
      {hasLogs && <LogTail kernel={kernel} run={run} isSilent={silence.isSilent} asked={asked} onAsk={onAsk} />}
      <Metrics kernel={kernel} run={run} isSilent={silence.isSilent} />
      <Places run={run} />
    </>
  );
}

function Head({ run }: { run: RunOfWidget }): JSX.Element {
  return (
    <div class="head">
      <h2>{run.name || run.run_id}</h2>
      <Status status={run.status} />
      <Duration from={run.started_ns} to={run.ended_ns} />
      <span class="soft">
        {run.experiment} #{run.number}
      </span>
      <span class="grow" />
      <Link class="button" to={address("runs", run.run_id)}>
        Open in Studio
      </Link>
    </div>
  );
}

function Trail({ kernel, silence, onBack }: { kernel: Kernel; silence: Silence; onBack: (runId: string) => void }): JSX.Element | null {
  const trail = kernel.page.value?.trail ?? [];
  if (!trail.length) return null;
  return (
    <nav class="trail" aria-label="Where this run is a child">
      {trail.map((id) => (
        <button key={id} type="button" disabled={silence.isSilent} onClick={() => onBack(id)}>
          ‹ {id}
        </button>
      ))}
    </nav>
  );
}

const PATIENCE_MS = 3000;

/** A run that the kernel has not told of yet. */
function Expected({ runId, isAsked }: { runId: string; isAsked: boolean }): JSX.Element {
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    setLong(false);
    const timer = setTimeout(() => setLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [runId]);
  return (
    <p class="waiting-for">
      {isAsked ? "Opening" : "Looking for"} run {runId}…
      {isLong && (
        <>
          {" "}
          The kernel answers when it has time for it. <Link to={address("runs", runId)}>Open it in Studio</Link>
        </>
      )}
    </p>
  );
}

/** The run that was asked for, until the kernel shows it or does not answer. */
function useOpened(kernel: Kernel, isSilent: boolean) {
  const [opened, setOpened] = useState("");
  const shown = kernel.page.value?.run_id ?? "";
  useEffect(() => setOpened(""), [shown, isSilent]);
  const open = (runId: string, kind: "open" | "back") => {
    setOpened(runId);
    kernel.send({ kind, run_id: runId });
  };
  return { opened, open };
}

/** The log that was asked for, until the kernel shows it or does not answer. */
function useAsked(kernel: Kernel, isSilent: boolean) {
  const [asked, setAsked] = useState("");
  const shown = kernel.log.value?.path;
  useEffect(() => {
    if (shown === asked || isSilent) setAsked("");
  }, [shown, asked, isSilent]);
  const ask = (path: string) => {
    if (path !== shown) setAsked(path);
    kernel.send({ kind: "file", path });
  };
  return { asked, ask };
}

/** Links to what the widget shows itself, and else to Studio, which opens beside the notebook. */
function useGoing(kernel: Kernel, isSilent: boolean, open: (runId: string, kind: "open") => void, ask: (path: string) => void): Going {
  const url = kernel.page.value?.url ?? "";
  const latest = { isSilent, open, ask };
  return useMemo(() => ({ base: url, go: (to: string) => go(kernel, latest, to) }), [kernel, url, isSilent, open, ask]);
}

interface Ways {
  readonly isSilent: boolean;
  readonly open: (runId: string, kind: "open") => void;
  readonly ask: (path: string) => void;
}

function go(kernel: Kernel, { isSilent, open, ask }: Ways, to: string): boolean {
  if (isSilent) return false;
  const { pathname, searchParams } = new URL(to, "http://studio");
  const [pages, runId = "", tab] = pathname.split("/").filter(Boolean).map(decodeURIComponent);
  if (pages !== "runs") return false;
  const file = searchParams.get("file");
  if (tab === "logs" && runId === kernel.page.value?.run_id && file && searchParams.get("at") === null) {
    if (!kernel.files.value?.some((one) => one.path === file)) return false;
    ask(file);
    return true;
  }
  if (tab || !kernel.trials.value?.trials.some((one) => one.run_id === runId)) return false;
  open(runId, "open");
  return true;
}

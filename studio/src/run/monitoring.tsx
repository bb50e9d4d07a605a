// What a run used: CPU, memory, GPUs, disk and network on one time axis, with its phases.

import { useMemo, useRef, useState } from "preact/hooks";
import { filePath, type RunInFull } from "../api/run";
import { number } from "../format";
import { useLive } from "../live";
import { Chart, type Range, type Span } from "../parts/chart";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { FINAL } from "../parts/status";
import { Moment } from "../parts/time";
import { place, setQuery } from "../router";
import { nodeReadings } from "./node_samples";
import { stepsOf } from "./phases";
import type { TabProps } from "./tab";
import type { Xid } from "./telemetry";
import { between, fileUrl, grown, type Reading } from "./telemetry_reading";
import { type OfNode, reach, type Usage, usageOf } from "./usage";
import "./monitoring.css";

const LIVE_MS = 5000;
const MOST_BYTES = 24 << 20;
const MOST_NODES = 16;

export function Monitoring({ run }: TabProps) {
  const { query } = place.value;
  const shown = run.nodes.filter((node) => !query.get("node") || node.node_id === query.get("node")).slice(0, MOST_NODES);
  const [zoom, setZoom] = useState<Range | null>(null);
  const live = useReadings(run, shown.map((node) => node.node_id), zoom);
  const byProcess = query.get("by") === "process";
  const nodes = live.nodes;
  const whole = useMemo(() => wholeOf(run, nodes), [run, nodes]);
  const [from, to] = zoom ?? whole ?? [0, 0];
  const usage = useMemo(() => usageOf(nodes, byProcess, from, to), [nodes, byProcess, from, to]);
  const spans = useMemo(() => spansOf(run, live.xids, to), [run, live.xids, to]);
  if (live.error && !nodes.length) return <ErrorNote>{live.error.message}</ErrorNote>;
  if (live.isLoading) return <div class="booting" />;
  return (
    <div class="monitoring">
      <Choices run={run} byProcess={byProcess} zoom={zoom} setZoom={setZoom} />
      {live.isSampled && <p class="soft">These files are long: some samples are shown for all. Zoom in to see every one.</p>}
      {run.nodes.length > MOST_NODES && !query.get("node") && <p class="soft">The first {MOST_NODES} nodes are shown; choose one to see another.</p>}
      {live.xids.length > 0 && <Xids xids={live.xids} />}
      {usage.length === 0 && <None run={run} />}
      <div class="charts">
        {usage.map((one) => (
          <UsageChart key={one.title} usage={one} spans={spans} zoom={zoom} whole={whole} setZoom={setZoom} />
        ))}
      </div>
    </div>
  );
}

interface ChartOfUsage {
  readonly usage: Usage;
  readonly spans: readonly Span[];
  readonly zoom: Range | null;
  readonly whole: Range | null;
  readonly setZoom: (range: Range | null) => void;
}

function UsageChart({ usage, spans, zoom, whole, setZoom }: ChartOfUsage) {
  const most = useMemo(() => usage.lines.reduce((all, { ys }) => ys.reduce<number>((one, y) => Math.max(one, y ?? 0), all), 0), [usage]);
  return (
    <section aria-label={usage.title}>
      <h2>
        {usage.title} <span class="soft">{usage.unit}</span>
      </h2>
      <Chart
        title={usage.title}
        lines={usage.lines}
        xIs="time"
        xLimits={whole ?? [null, null]}
        yLimits={[0, usage.isShare ? 100 : 1.1 * most || null]}
        height={170}
        cursorKey="monitoring"
        zoom={zoom}
        onZoom={setZoom}
        formatY={(y) => `${number(Number(y.toPrecision(4)))} ${usage.unit}`}
        spans={spans}
        hasLegend={usage.lines.length > 1}
      />
    </section>
  );
}

function Choices({ run, byProcess, zoom, setZoom }: { run: RunInFull; byProcess: boolean; zoom: Range | null; setZoom: (range: null) => void }) {
  return (
    <div class="filters">
      <label>
        CPU and memory per{" "}
        <select value={byProcess ? "process" : ""} onChange={(event) => setQuery({ by: event.currentTarget.value })}>
          <option value="">node</option>
          <option value="process">process</option>
        </select>
      </label>
      {run.nodes.length > 1 && (
        <label>
          Node{" "}
          <select value={place.value.query.get("node") ?? ""} onChange={(event) => setQuery({ node: event.currentTarget.value })}>
            <option value="">All {run.nodes.length}</option>
            {run.nodes.map((node) => (
              <option key={node.node_id} value={node.node_id}>
                {node.ip}
              </option>
            ))}
          </select>
        </label>
      )}
      <button type="button" disabled={!zoom} onClick={() => setZoom(null)}>
        Whole run
      </button>
      <span class="soft">Drag over a chart to zoom all of them.</span>
    </div>
  );
}

function Xids({ xids }: { xids: readonly Xid[] }) {
  return (
    <section class="note error" aria-label="Xid events">
      <h2>Xid events: the driver has told of trouble with a GPU</h2>
      <ul>
        {xids.map((one) => (
          <li key={`${one.wall_ns}`}>
            <Moment ns={one.wall_ns} />: Xid {one.xid}
            {one.gpu !== undefined && ` on GPU ${one.gpu}`}
            {one.concerns && ` (${CONCERNS[one.concerns] ?? one.concerns})`}
            {one.text && <code> {one.text}</code>}
          </li>
        ))}
      </ul>
    </section>
  );
}

const CONCERNS: Readonly<Record<string, string>> = {
  process: "a process of this run",
  gpu: "a GPU that this run uses",
  node: "somebody on the node",
};

function None({ run }: { run: RunInFull }) {
  return (
    <EmptyNote title="Nothing was measured">
      <p>
        The agent of a cluster's node (<code>runyard agent</code>) measures every 5 s what runs use.{" "}
        {FINAL.has(run.status) ? "None was there, or the run was over before it looked." : "There is none on this run's nodes, or it has not looked yet."}
      </p>
    </EmptyNote>
  );
}

/** From when it left the queue until its end, or the last sample. */
function wholeOf(run: RunInFull, nodes: readonly OfNode[]): Range | null {
  const measured = reach(nodes);
  if (!measured) return null;
  const begun = stepsOf(run).find((step) => step.from !== null && step.name !== "Queued")?.from;
  return [Math.min(measured[0], begun ? begun / 1e6 : Infinity), Math.max(measured[1], (run.ended_ns ?? 0) / 1e6)];
}

function spansOf(run: RunInFull, xids: readonly Xid[], end: number): Span[] {
  const phases = stepsOf(run)
    .filter((step) => step.from !== null)
    .map((step) => ({ from: step.from! / 1e6, to: step.to === null ? end : step.to / 1e6, label: step.name }));
  const marks = xids.map((one) => ({ from: one.wall_ns / 1e6, to: one.wall_ns / 1e6, label: `Xid ${one.xid}`, isMark: true }));
  return [...phases, ...marks];
}

interface Readings {
  readonly nodes: readonly OfNode[];
  readonly xids: readonly Xid[];
  readonly isSampled: boolean;
  readonly isLoading: boolean;
  readonly error: Error | undefined;
}

type ById = ReadonlyMap<string, Reading>;

/** What is there of these nodes: of all the time, and where that is too long, all of what is zoomed into. */
function useReadings(run: RunInFull, ids: readonly string[], zoom: Range | null): Readings {
  const known = useRef(new Map<string, Reading | null>());
  const most = MOST_BYTES / Math.max(1, ids.length);
  const urls = new Map(run.nodes.filter((node) => ids.includes(node.node_id)).map((node) => [node.node_id, urlOf(run, node)]));
  const key = `${run.run_id} ${run.attempt} ${ids.join()}`;
  const base = useLive<ById>(
    `telemetry ${key}`,
    async (signal) => {
      const found = new Map<string, Reading>();
      const read = async ([id, url]: [string, string]) => {
        const reading = await grown(url, known.current.get(url) ?? null, most, signal);
        known.current.set(url, reading);
        if (reading?.samples.length) found.set(id, reading);
      };
      await Promise.all([...urls].map(read));
      return found.size ? found : nodeReadings(run, ids, signal);
    },
    run.is_complete ? 0 : LIVE_MS,
  );
  const isSampled = [...(base.data?.values() ?? [])].some((one) => one.blocks.length);
  const detail = useLive<ById>(`telemetry ${key} ${isSampled && zoom ? zoom.join() : ""}`, async (signal) => {
    const found = new Map<string, Reading>();
    if (!isSampled || !zoom) return found;
    for (const [id, url] of urls) {
      const reading = base.data?.get(id);
      if (reading?.blocks.length) found.set(id, await between(url, reading, zoom[0], zoom[1], most, signal));
    }
    return found;
  });
  const shown = useMemo(() => new Map([...(base.data ?? []), ...(detail.data ?? [])]), [base.data, detail.data]);
  return useMemo(
    () => ({
      nodes: run.nodes.filter((node) => shown.has(node.node_id)).map((node) => ofNode(node.node_id, node.ip, shown.get(node.node_id)!)),
      xids: [...shown.values()].flatMap((one) => one.xids).sort((one, other) => one.wall_ns - other.wall_ns),
      isSampled,
      isLoading: base.data === undefined && base.error === undefined,
      error: base.error,
    }),
    [shown, base.error],
  );
}

function urlOf(run: RunInFull, node: RunInFull["nodes"][number]): string {
  return fileUrl(run.run_id, filePath(run, node, `logs/azureml/telemetry-${node.node_id.replaceAll("/", "_")}.jsonl`));
}

function ofNode(id: string, label: string, { samples, blocks }: Reading): OfNode {
  const [first, last] = [blocks[0]?.[0] ?? 0, blocks.at(-1)?.[0] ?? 0];
  return { id, label, samples, sampledMs: blocks.length > 1 ? (last - first) / (blocks.length - 1) : 0 };
}

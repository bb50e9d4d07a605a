// One node, /compute/<cluster>/<node>: what it is and has, what runs there, and how it was in the last hours.

import type { ComponentChildren } from "preact";
import { DrainButton } from "../act/drain";
import { ApiError } from "../api/client";
import { getNode, getQueue, type ClusterNode, type QueuedRun } from "../api/compute";
import { bytes, number, span } from "../format";
import { useLive } from "../live";
import { Copy } from "../parts/copy";
import { lazy } from "../parts/lazy";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { Moment } from "../parts/time";
import { address } from "../router";
import { RunsThere } from "./cluster";
import { Bar, NodeState } from "./parts";
import { gpuLoad, plural, share } from "./words";

const EVERY_MS = 2500;
const Samples = lazy(() => import("./samples").then((all) => all.Samples));

async function load(cluster: string, nodeId: string, signal: AbortSignal) {
  const [node, runs] = await Promise.all([getNode(nodeId, signal), getQueue(cluster, signal)]);
  return { node, runs };
}

export function NodePage({ cluster, nodeId }: { cluster: string; nodeId: string }) {
  const { data, error, refresh } = useLive(`node/${nodeId}`, (signal) => load(cluster, nodeId, signal), EVERY_MS);
  if (error instanceof ApiError && error.status === 404) return <NoNode cluster={cluster} nodeId={nodeId} />;
  if (!data) return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="booting" />;
  const { node, runs } = data;
  return (
    <>
      <div class="head">
        <h1>
          <span class="crumbs">
            <Link to="/compute">Compute</Link> / <Link to={address("compute", cluster)}>{cluster}</Link> /{" "}
          </span>
          {node.hostname}
        </h1>
        <NodeState status={node.status} />
        <span class="grow" />
        <DrainButton node={node} refresh={refresh} />
      </div>
      {node.is_drained && (
        <p class="drained">Drained{node.drain_reason && `: ${node.drain_reason}`}. It gets no runs until it is resumed.</p>
      )}
      {node.reason && <p>{node.reason}</p>}
      <Facts node={node} runs={runs} />
      <section class="section" aria-label="Samples">
        <h2>Last day</h2>
        <Samples node={node} />
      </section>
    </>
  );
}

function NoNode({ cluster, nodeId }: { cluster: string; nodeId: string }) {
  return (
    <EmptyNote title={`There is no node ${nodeId}`}>
      <p>
        It may have been removed. <Link to={address("compute", cluster)}>Cluster {cluster}</Link> lists the nodes that are there.
      </p>
    </EmptyNote>
  );
}

function Facts({ node, runs }: { node: ClusterNode; runs: readonly QueuedRun[] }) {
  const { capacity, sample } = node;
  return (
    <dl class="tallies">
      <Fact name="Node id">
        <code>{node.node_id}</code> <Copy text={node.node_id} what="node id" />
      </Fact>
      <Fact name="Address">{node.ip}</Fact>
      <Fact name="CPUs">{number(capacity.cpus)}</Fact>
      <Fact name="Memory">{bytes(capacity.memory_bytes)}</Fact>
      <Fact name="GPUs">
        {capacity.gpus ? plural(capacity.gpus, capacity.gpu_name || "GPU", capacity.gpu_name || "GPUs") : "none"}
      </Fact>
      <Fact name="CPU busy">
        <Bar value={sample["cpu_percent"]} label="CPU" />
      </Fact>
      <Fact name="Load">{number(sample["load1"])}</Fact>
      <Fact name="Memory used">
        <Bar value={share(sample["mem_used_bytes"], capacity.memory_bytes)} label="Memory" />
      </Fact>
      {gpuLoad(sample) && <Fact name="GPU load">{gpuLoad(sample)}</Fact>}
      <Fact name="Runs now">
        <RunsThere node={node} runs={runs} />
      </Fact>
      <Fact name="Heard">
        <Moment ns={node.heard_ns} />
      </Fact>
      <Fact name="Joined">
        <Moment ns={node.joined_ns} />
      </Fact>
      <Fact name="Agent">{node.agent_version || "–"}</Fact>
      <Fact name="Clock">{clock(node.clock_off_ns)}</Fact>
    </dl>
  );
}

function clock(offNs: number): string {
  const offMs = Math.abs(offNs) / 1e6;
  if (offMs < 50) return "right";
  return `${span(offMs)} ${offNs > 0 ? "ahead" : "behind"}`;
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

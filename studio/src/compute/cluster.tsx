// One cluster, /compute/<cluster>: its nodes with what they do, and the runs that have nodes or wait for some.

import { DrainButton } from "../act/drain";
import { ApiError } from "../api/client";
import { getCluster, getNodes, getQueue, type Cluster, type ClusterNode, type QueuedRun } from "../api/compute";
import { bytes, number } from "../format";
import { useLive } from "../live";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { address } from "../router";
import { Bar, NodeLink, NodeState } from "./parts";
import { Queue } from "./queue";
import { byStatus, gpuLoad, nodeCount, plural, share } from "./words";

const EVERY_MS = 2500;

interface All {
  readonly cluster: Cluster;
  readonly nodes: readonly ClusterNode[];
  readonly runs: readonly QueuedRun[];
}

async function load(name: string, signal: AbortSignal): Promise<All> {
  const [cluster, nodes, runs] = await Promise.all([getCluster(name, signal), getNodes(name, signal), getQueue(name, signal)]);
  return { cluster, nodes, runs };
}

export function ClusterPage({ cluster }: { cluster: string }) {
  const { data, error, refresh } = useLive(`cluster/${cluster}`, (signal) => load(cluster, signal), EVERY_MS);
  if (error instanceof ApiError && error.status === 404) return <NoCluster cluster={cluster} />;
  return (
    <>
      <div class="head">
        <h1>
          <span class="crumbs">
            <Link to="/compute">Compute</Link> /{" "}
          </span>
          {cluster}
        </h1>
        <span class="grow" />
        <Link class="button" to={`/new?cluster=${encodeURIComponent(cluster)}`}>
          New run
        </Link>
      </div>
      {error && !data && <ErrorNote>{error.message}</ErrorNote>}
      {!data && !error && <div class="booting" />}
      {data && (
        <>
          <Tallies cluster={data.cluster} />
          <Queue runs={data.runs} nodes={data.nodes} refresh={refresh} />
          <section class="section" aria-label="Nodes">
            <h2>
              Nodes <span class="soft">({data.nodes.length})</span>
            </h2>
            {data.nodes.length ? <Nodes nodes={data.nodes} runs={data.runs} refresh={refresh} /> : <NoNodes cluster={cluster} />}
          </section>
        </>
      )}
    </>
  );
}

function NoCluster({ cluster }: { cluster: string }) {
  return (
    <EmptyNote title={`There is no cluster ${cluster}`}>
      <p>
        <Link to="/compute">Compute</Link> lists the clusters that there are.
      </p>
    </EmptyNote>
  );
}

function NoNodes({ cluster }: { cluster: string }) {
  return (
    <EmptyNote title="No machine has joined yet">
      <p>
        <code>runyard clusters token {cluster}</code> prints a token; with it, <code>runyard agent</code> on a machine joins.
      </p>
    </EmptyNote>
  );
}

function Tallies({ cluster }: { cluster: Cluster }) {
  const { capacity } = cluster;
  return (
    <dl class="tallies">
      <div>
        <dt>Nodes</dt>
        <dd class="states">
          {nodeCount(cluster) === 0 && "none"}
          {byStatus(cluster.nodes).map(([status, count]) => (
            <NodeState key={status} status={status} count={count} />
          ))}
        </dd>
      </div>
      {capacity.gpus > 0 && (
        <div>
          <dt>GPUs{capacity.gpu_name && ` (${capacity.gpu_name})`}</dt>
          <dd class="figure">
            {capacity.gpus - cluster.gpus_taken} of {capacity.gpus} free
          </dd>
        </div>
      )}
      <div>
        <dt>All nodes together</dt>
        <dd>
          {plural(capacity.cpus, "CPU")}, {bytes(capacity.memory_bytes)}
        </dd>
      </div>
    </dl>
  );
}

function Nodes({ nodes, runs, refresh }: { nodes: readonly ClusterNode[]; runs: readonly QueuedRun[]; refresh: () => void }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Table of nodes">
      <table class="plain compute-table">
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">State</th>
            <th scope="col">CPU</th>
            <th scope="col" class="right">
              Load
            </th>
            <th scope="col">Memory</th>
            <th scope="col">GPUs</th>
            <th scope="col">Runs</th>
            <th scope="col" />
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <NodeRow key={node.node_id} node={node} runs={runs} refresh={refresh} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NodeRow({ node, runs, refresh }: { node: ClusterNode; runs: readonly QueuedRun[]; refresh: () => void }) {
  const { sample, capacity } = node;
  return (
    <tr>
      <th scope="row">
        <NodeLink node={node} />
        <div class="soft run-of">{node.ip}</div>
      </th>
      <td class="wrap">
        <NodeState status={node.status} />
        {node.is_drained && <div class="drained">Drained{node.drain_reason && `: ${node.drain_reason}`}</div>}
        {node.reason && <div class="soft run-of">{node.reason}</div>}
      </td>
      <td>
        <Bar value={sample["cpu_percent"]} label="CPU" />
      </td>
      <td class="right figure">{number(sample["load1"])}</td>
      <td title={`${bytes(sample["mem_used_bytes"] ?? 0)} of ${bytes(capacity.memory_bytes)}`}>
        <Bar value={share(sample["mem_used_bytes"], capacity.memory_bytes)} label="Memory" />
      </td>
      <td class="wrap">
        {capacity.gpus ? plural(capacity.gpus, capacity.gpu_name || "GPU", capacity.gpu_name || "GPUs") : <span class="soft">none</span>}
        <div class="soft run-of">{gpuLoad(sample)}</div>
      </td>
      <td class="wrap">
        <RunsThere node={node} runs={runs} />
      </td>
      <td class="right">
        <DrainButton node={node} refresh={refresh} />
      </td>
    </tr>
  );
}

/** What the node has in hand, by its own word and by the queue's. */
export function RunsThere({ node, runs }: { node: ClusterNode; runs: readonly QueuedRun[] }) {
  const names = new Map(runs.map((one) => [one.run.run_id, one.run.name]));
  const said = node.runs.filter((one) => !one.is_over).map((one) => one.run_id);
  const given = runs.filter((one) => one.nodes.includes(node.node_id)).map((one) => one.run.run_id);
  const all = [...new Set([...given, ...said])];
  if (!all.length) return <span class="soft">–</span>;
  return (
    <span class="states">
      {all.map((runId) => (
        <Link key={runId} to={address("runs", runId)}>
          {names.get(runId) || runId}
        </Link>
      ))}
    </span>
  );
}

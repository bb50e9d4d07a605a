// Compute: /compute is all clusters, /compute/<cluster> one, /compute/<cluster>/<node> a node of it.

import { getClusters, type Cluster } from "../api/compute";
import { NodeState } from "../compute/parts";
import { byStatus, nodeCount, plural } from "../compute/words";
import { ClusterPage } from "../compute/cluster";
import { NodePage } from "../compute/node";
import { bytes } from "../format";
import { useLive } from "../live";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { address } from "../router";
import "../act/act.css";
import "./compute.css";

const EVERY_MS = 3000;

export function ComputePage({ rest }: { rest: readonly string[] }) {
  const [cluster, nodeId] = rest;
  if (cluster && nodeId) return <NodePage key={nodeId} cluster={cluster} nodeId={nodeId} />;
  if (cluster) return <ClusterPage key={cluster} cluster={cluster} />;
  return <Clusters />;
}

function Clusters() {
  const { data, error } = useLive("clusters", getClusters, EVERY_MS);
  return (
    <>
      <div class="head">
        <h1>Compute</h1>
        <span class="grow" />
        <Link class="button" to="/new">
          New run
        </Link>
      </div>
      {error && !data && <ErrorNote>{error.message}</ErrorNote>}
      {!data && !error && <div class="booting" />}
      {data?.length === 0 && <NoClusters />}
      {data && data.length > 0 && <ClusterTable clusters={data} />}
    </>
  );
}

function NoClusters() {
  return (
    <EmptyNote title="There are no clusters yet">
      <p>
        A cluster is made with the first token by which machines join it: <code>runyard clusters token NAME</code> prints one,
        and <code>runyard agent</code> on a machine joins with it. Without a cluster, <code>runyard run</code> runs a training
        where you are.
      </p>
    </EmptyNote>
  );
}

function ClusterTable({ clusters }: { clusters: readonly Cluster[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Clusters">
      <table class="plain compute-table">
        <thead>
          <tr>
            <th scope="col">Cluster</th>
            <th scope="col">Nodes</th>
            <th scope="col" class="right">
              GPUs free
            </th>
            <th scope="col" class="right">
              GPUs taken
            </th>
            <th scope="col">All nodes together</th>
            <th scope="col" class="right">
              Queued
            </th>
            <th scope="col" class="right">
              Active
            </th>
          </tr>
        </thead>
        <tbody>
          {clusters.map((one) => (
            <ClusterRow key={one.cluster} one={one} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function ClusterRow({ one }: { one: Cluster }) {
  const { capacity } = one;
  return (
    <tr>
      <th scope="row">
        <Link to={address("compute", one.cluster)}>{one.cluster}</Link>
      </th>
      <td>
        <span class="states">
          {nodeCount(one) === 0 && <span class="soft">none has joined yet</span>}
          {byStatus(one.nodes).map(([status, count]) => (
            <NodeState key={status} status={status} count={count} />
          ))}
        </span>
      </td>
      <td class="right figure">{capacity.gpus ? capacity.gpus - one.gpus_taken : "–"}</td>
      <td class="right figure">{capacity.gpus ? one.gpus_taken : "–"}</td>
      <td>
        {plural(capacity.cpus, "CPU")}, {bytes(capacity.memory_bytes)}
        {capacity.gpus > 0 && `, ${plural(capacity.gpus, "GPU")}${capacity.gpu_name ? ` (${capacity.gpu_name})` : ""}`}
      </td>
      <td class="right figure">{one.queued}</td>
      <td class="right figure">{one.active}</td>
    </tr>
  );
}

// The runs of a cluster: those that have nodes, and those that wait for them, in the order in which they get them.

import { useState } from "preact/hooks";
import { CancelDialog } from "../act/cancel";
import type { ClusterNode, QueuedRun } from "../api/compute";
import { Link } from "../parts/link";
import { FINAL, Status } from "../parts/status";
import { Duration, Moment } from "../parts/time";
import { address } from "../router";
import { NodeLink } from "./parts";
import { plural, positions, wanted } from "./words";

interface Props {
  readonly runs: readonly QueuedRun[];
  readonly nodes: readonly ClusterNode[];
  readonly refresh: () => void;
}

export function Queue({ runs, nodes, refresh }: Props) {
  const active = runs.filter((one) => one.placed_ns !== null);
  const waiting = runs.filter((one) => one.placed_ns === null);
  return (
    <>
      <section class="section" aria-label="Active runs">
        <h2>
          Active runs <span class="soft">({active.length})</span>
        </h2>
        {active.length ? <Active runs={active} nodes={nodes} refresh={refresh} /> : <p class="soft">No run has nodes of this cluster now.</p>}
      </section>
      <section class="section" aria-label="Queued runs">
        <h2>
          Queued runs <span class="soft">({waiting.length})</span>
        </h2>
        {waiting.length ? <Waiting runs={waiting} refresh={refresh} /> : <p class="soft">No run waits for nodes.</p>}
      </section>
    </>
  );
}

function Active({ runs, nodes, refresh }: Props) {
  const byId = new Map(nodes.map((node) => [node.node_id, node]));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Table of active runs">
      <table class="plain compute-table">
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">Status</th>
            <th scope="col">Nodes</th>
            <th scope="col">Of each node</th>
            <th scope="col">Waited</th>
            <th scope="col">Has nodes since</th>
            <th scope="col">By</th>
            <th scope="col" />
          </tr>
        </thead>
        <tbody>
          {runs.map((one) => (
            <tr key={one.run.run_id}>
              <RunCell one={one} />
              <td>
                <Status status={one.run.status} />
              </td>
              <td class="wrap">
                <NodesOf one={one} byId={byId} />
              </td>
              <td>{wanted(one.request)}</td>
              <td>
                <Duration from={one.submitted_ns} to={one.placed_ns} />
              </td>
              <td>
                <Moment ns={one.placed_ns} />
              </td>
              <td>{one.run.user || "–"}</td>
              <td class="right">
                <CancelButton one={one} refresh={refresh} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NodesOf({ one, byId }: { one: QueuedRun; byId: ReadonlyMap<string, ClusterNode> }) {
  if (!one.nodes.length) return <span class="soft">{plural(one.run.node_count, "node")}</span>;
  return (
    <span class="states">
      {one.nodes.map((nodeId) => {
        const node = byId.get(nodeId);
        return node ? <NodeLink key={nodeId} node={node} /> : <span key={nodeId}>{nodeId}</span>;
      })}
    </span>
  );
}

function Waiting({ runs, refresh }: Omit<Props, "nodes">) {
  const places = positions(runs);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Table of queued runs">
      <table class="plain compute-table">
        <thead>
          <tr>
            <th scope="col" class="right">
              Position
            </th>
            <th scope="col">Run</th>
            <th scope="col">Waiting</th>
            <th scope="col">Waits for</th>
            <th scope="col">Wants</th>
            <th scope="col" class="right">
              Priority
            </th>
            <th scope="col">By</th>
            <th scope="col" />
          </tr>
        </thead>
        <tbody>
          {runs.map((one) => (
            <tr key={one.run.run_id}>
              <td class="right figure">{places.get(one.run.run_id) ?? "–"}</td>
              <RunCell one={one} />
              <td>
                <Duration from={one.submitted_ns} to={null} />
              </td>
              <td class="wrap">{one.waits_for || "its turn"}</td>
              <td>
                {plural(one.run.node_count, "node")}: {wanted(one.request)}
              </td>
              <td class="right figure">{one.priority}</td>
              <td>{one.run.user || "–"}</td>
              <td class="right">
                <CancelButton one={one} refresh={refresh} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RunCell({ one }: { one: QueuedRun }) {
  const { run } = one;
  return (
    <th scope="row" class="wrap">
      <Link to={address("runs", run.run_id)}>{run.name || run.run_id}</Link>
      <div class="soft run-of">
        {run.experiment}
        {run.parent_run_id && (
          <>
            , child of <Link to={address("runs", run.parent_run_id)}>{run.parent_run_id}</Link>
          </>
        )}
      </div>
    </th>
  );
}

function CancelButton({ one, refresh }: { one: QueuedRun; refresh: () => void }) {
  const [isAsking, setAsking] = useState(false);
  const isOver = FINAL.has(one.run.status) || one.run.status === "CancelRequested";
  return (
    <>
      <button
        type="button"
        class="small"
        aria-label={`Cancel ${one.run.name || one.run.run_id}`}
        disabled={isOver}
        onClick={() => setAsking(true)}
      >
        Cancel
      </button>
      {isAsking && <CancelDialog runs={[one.run]} refresh={refresh} onClose={() => setAsking(false)} />}
    </>
  );
}

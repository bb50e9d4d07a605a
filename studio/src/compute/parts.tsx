// Small pieces that the pages of Compute share.

import type { ClusterNode, NodeStatus } from "../api/compute";
import { Link } from "../parts/link";
import { address } from "../router";
import { NODE_TONES, NODE_WORDS, percent } from "./words";

export function NodeState({ status, count }: { status: NodeStatus; count?: number }) {
  return (
    <span class={`status ${NODE_TONES[status]}`}>
      {count === undefined ? "" : `${count} `}
      {count === undefined ? NODE_WORDS[status] : NODE_WORDS[status].toLowerCase()}
    </span>
  );
}

export function NodeLink({ node }: { node: ClusterNode }) {
  return <Link to={address("compute", node.cluster, node.node_id)}>{node.hostname}</Link>;
}

/** A share as a bar with its number beside it. */
export function Bar({ value, label }: { value: number | undefined; label: string }) {
  return (
    <span class="share">
      <span class="share-bar" aria-hidden="true">
        <span style={{ width: `${value ?? 0}%` }} />
      </span>
      <span class="figure">
        <span class="hidden">{label} </span>
        {percent(value)}
      </span>
    </span>
  );
}

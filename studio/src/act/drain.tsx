import { useState } from "preact/hooks";
import { drainNode, resumeNode, type ClusterNode } from "../api/compute";
import { FormDialog } from "../parts/dialog";
import { complain, tell } from "../parts/notices";

/** Takes a node out of use, or back into it. */
export function DrainButton({ node, refresh }: { node: ClusterNode; refresh: () => void }) {
  const [isAsking, setAsking] = useState(false);
  const [isBusy, setBusy] = useState(false);
  async function resume(): Promise<void> {
    setBusy(true);
    try {
      await resumeNode(node.node_id);
      tell(`${node.hostname} gets runs again.`);
      refresh();
    } catch (failure) {
      complain(failure);
    }
    setBusy(false);
  }
  return (
    <>
      <button
        type="button"
        class="small"
        aria-label={`${node.is_drained ? "Resume" : "Drain"} ${node.hostname}`}
        disabled={isBusy}
        onClick={() => (node.is_drained ? void resume() : setAsking(true))}
      >
        {node.is_drained ? "Resume" : "Drain"}
      </button>
      {isAsking && <DrainDialog node={node} refresh={refresh} onClose={() => setAsking(false)} />}
    </>
  );
}

function DrainDialog({ node, refresh, onClose }: { node: ClusterNode; refresh: () => void; onClose: () => void }) {
  const [reason, setReason] = useState("");
  async function drain(): Promise<void> {
    await drainNode(node.node_id, reason.trim());
    tell(`${node.hostname} gets no more runs.`);
    refresh();
  }
  return (
    <FormDialog title={`Drain ${node.hostname}?`} action="Drain" onSubmit={drain} onClose={onClose}>
      <p>It gets no more runs until it is resumed. What runs there goes on to its end.</p>
      <label>
        Reason
        <input
          value={reason}
          maxLength={1000}
          placeholder="new disks"
          onInput={(event) => setReason(event.currentTarget.value)}
        />
      </label>
    </FormDialog>
  );
}

import { answerTo, apiUrl } from "../api/client";
import type { Snapshot } from "../api/orders";
import type { RunInFull } from "../api/run";

/** The snapshot of a run's code by the run's own word; null where it has none, or where it is not at the collector. */
export async function snapshotOf(run: RunInFull, signal: AbortSignal): Promise<Snapshot | null> {
  const id = run.properties["ContentSnapshotId"] ?? "";
  if (!/^[0-9a-f]{64}$/.test(id)) return null;
  const answer = await answerTo(apiUrl(`/snapshots/${id}`), { method: "HEAD", signal });
  const size = Number(answer.headers.get("Content-Length"));
  return answer.ok && size > 0 ? { id, size_bytes: size, files: 0 } : null;
}

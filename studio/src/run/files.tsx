// Where a run's files lie, and the code that it ran.

import { answerTo, apiUrl } from "../api/client";
import type { RunInFull } from "../api/run";
import { bytes } from "../format";
import { useLive } from "../live";
import { Copy } from "../parts/copy";
import { Link } from "../parts/link";
import { address } from "../router";

export const SNAPSHOT_PROPERTY = "ContentSnapshotId";
const SHA256 = /^[0-9a-f]{64}$/;

export function Files({ run }: { run: RunInFull }) {
  return (
    <section aria-label="Files">
      <h2>Files</h2>
      {run.removed_ns ? (
        <p class="soft">They were removed; their names, sizes and digests are still listed under Outputs + logs.</p>
      ) : (
        <p>
          <Link to={address("runs", run.run_id, "logs")}>Outputs + logs</Link> has all of them, also while the run goes on.
        </p>
      )}
      <dl class="pairs">
        <Lies run={run} />
        <Snapshot id={run.properties[SNAPSHOT_PROPERTY] ?? ""} />
      </dl>
    </section>
  );
}

function Lies({ run }: { run: RunInFull }) {
  return (
    <div>
      <dt>At the collector</dt>
      <dd>
        <code>
          runs/{run.experiment}/{run.run_id}/
        </code>
        {run.is_pinned && <span class="soft"> kept however old they become</span>}
      </dd>
    </div>
  );
}

function Snapshot({ id }: { id: string }) {
  if (!SHA256.test(id)) return null;
  return <SnapshotOf id={id} />;
}

function SnapshotOf({ id }: { id: string }) {
  const url = apiUrl(`/snapshots/${id}`);
  const { data } = useLive(`snapshot ${id}`, (signal) => sizeOf(url, signal));
  return (
    <div>
      <dt>Code snapshot</dt>
      <dd>
        <code title={id}>{id.slice(0, 16)}</code> <Copy text={id} what="snapshot id" />{" "}
        {data === undefined ? (
          <span class="soft">…</span>
        ) : data === null ? (
          <span class="soft">not kept any more</span>
        ) : (
          <a href={url} download={`${id.slice(0, 16)}.tar`}>
            Download ({bytes(data)})
          </a>
        )}
      </dd>
    </div>
  );
}

async function sizeOf(url: string, signal: AbortSignal): Promise<number | null> {
  const response = await answerTo(url, { method: "HEAD", signal });
  return response.ok ? Number(response.headers.get("Content-Length")) : null;
}

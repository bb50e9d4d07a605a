// The nodes of a run: how each stands, and where one has failed, why.

import { filePath, type RunInFull } from "../api/run";
import { Link } from "../parts/link";
import { ErrorNote } from "../parts/notes";
import { Status } from "../parts/status";
import { Moment } from "../parts/time";
import { logAddress } from "./log_address";
import { exitText } from "./process_words";
import "./overview.css";

export function Nodes({ run }: { run: RunInFull }) {
  if (run.is_client_run) return null;
  if (!run.nodes.length) return <ErrorOfNodes run={run} />;
  return (
    <section aria-label="Nodes">
      <h2>
        Nodes <span class="soft">({run.nodes.length === run.node_count ? run.node_count : `${run.nodes.length} of ${run.node_count}`})</span>
      </h2>
      <div class="scroll tall" role="region" aria-label="Table of nodes" tabIndex={0}>
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Address</th>
              <th scope="col">Host</th>
              <th scope="col">Status</th>
              <th scope="col">Phase</th>
              <th scope="col">Exit</th>
              <th scope="col">Last heard</th>
              <th scope="col">Node id</th>
              <th scope="col">Cause</th>
            </tr>
          </thead>
          <tbody>
            {run.nodes.map((node) => (
              <tr key={node.node_id}>
                <td>{node.ip}</td>
                <td>{node.hostname}</td>
                <td>
                  <Status status={node.status} />
                </td>
                <td>{node.phase || "–"}</td>
                <td>{exitText({ exit_code: node.exit_code, signal: null })}</td>
                <td>
                  <Moment ns={node.heard_ns} />
                </td>
                <td>
                  <code>{node.node_id}</code>
                </td>
                <td class="wraps">
                  {node.cause}
                  {node.failure?.log && (
                    <>
                      {" "}
                      <Link to={logAddress(run.run_id, filePath(run, node, node.failure.log), node.failure.start)}>Show</Link>
                    </>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function ErrorOfNodes({ run }: { run: RunInFull }) {
  if (run.ended_ns) return <ErrorNote>No node ever had this run.</ErrorNote>;
  return <p class="soft">No node has taken this run yet.</p>;
}

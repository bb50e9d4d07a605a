// What a run is, how it stands, and where it has failed, why.

import { filePath, type RunInFull } from "../api/run";
import { Copy } from "../parts/copy";
import { ErrorNote } from "../parts/notes";
import { Status } from "../parts/status";
import { Duration, Moment } from "../parts/time";
import { Link } from "../parts/link";
import { Files } from "./files";
import { logAddress } from "./log_address";
import { Pairs } from "./pairs";
import { exitText } from "./process_words";
import { StateLine } from "./state_line";
import type { TabProps } from "./tab";
import { Verdict } from "./verdict";
import { environmentOf, shownCommand } from "./what";
import "./overview.css";

export function Overview({ run }: TabProps) {
  return (
    <div class="overview">
      <Verdict run={run} />
      <StateLine run={run} />
      <Warnings run={run} />
      <div class="columns">
        <div>
          <Command run={run} />
          <Pairs title="Parameters" pairs={run.params} empty="No parameters were recorded. A training records one by run.log_param, or by MLflow." />
          <Pairs title="Tags" pairs={run.tags} empty="No tags." />
          <Pairs title="Properties" pairs={run.properties} empty="" />
        </div>
        <div>
          <Pairs title="Environment" pairs={environmentOf(run)} empty="" />
          <Files run={run} />
        </div>
      </div>
      <Nodes run={run} />
      <Attempts run={run} />
    </div>
  );
}

function Warnings({ run }: { run: RunInFull }) {
  if (!run.warnings.length) return null;
  return (
    <section class="note warnings" aria-label="Warnings">
      <h2>Warnings</h2>
      <ul>
        {run.warnings.map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
    </section>
  );
}

function Command({ run }: { run: RunInFull }) {
  const text = shownCommand(run.command);
  if (!text) return null;
  return (
    <section aria-label="Command">
      <h2>
        Command <Copy text={text} what="command" />
      </h2>
      <pre class="command" tabIndex={0}>
        {text}
      </pre>
    </section>
  );
}

function Nodes({ run }: { run: RunInFull }) {
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

function Attempts({ run }: { run: RunInFull }) {
  const rows = run.nodes.flatMap((node) => node.earlier.map((one) => ({ node, one })));
  if (!rows.length) return null;
  return (
    <section aria-label="Earlier attempts">
      <h2>
        Earlier attempts <span class="soft">(this is attempt {run.attempt})</span>
      </h2>
      <div class="scroll tall" role="region" aria-label="Table of earlier attempts" tabIndex={0}>
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Attempt</th>
              <th scope="col">Node</th>
              <th scope="col">Status</th>
              <th scope="col">Exit</th>
              <th scope="col">Started</th>
              <th scope="col">Took</th>
              <th scope="col">Cause</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ node, one }) => (
              <tr key={`${node.node_id} ${one.attempt}`}>
                <td>{one.attempt}</td>
                <td>{node.ip}</td>
                <td>
                  <Status status={one.status} />
                </td>
                <td>{exitText({ exit_code: one.exit_code, signal: null })}</td>
                <td>
                  <Moment ns={one.started_ns} />
                </td>
                <td>{one.ended_ns ? <Duration from={one.started_ns} to={one.ended_ns} /> : "–"}</td>
                <td class="wraps">{one.cause}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

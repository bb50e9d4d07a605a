// What a run is, how it stands, and where it has failed, why.

import type { RunInFull } from "../api/run";
import { Copy } from "../parts/copy";
import { Status } from "../parts/status";
import { Duration, Moment } from "../parts/time";
import { Files } from "./files";
import { Nodes } from "./nodes_table";
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

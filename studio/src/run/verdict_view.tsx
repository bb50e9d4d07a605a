// Why a run has failed: who was first, what shows it, and who only followed.

import { useState } from "preact/hooks";
import { type Failure, filePath, type RunInFull } from "../api/run";
import { span } from "../format";
import { Link } from "../parts/link";
import { Moment } from "../parts/time";
import { logAddress } from "./log_address";
import { exitText } from "./process_words";

interface Exhibit {
  readonly rank: number | null;
  readonly node: string;
  readonly what: string;
  readonly log: string | null;
  readonly start: number | null;
  readonly end: number | null;
  readonly text: string;
  readonly wall_ns: number | null;
}

interface End {
  readonly rank: number;
  readonly node: string;
  readonly at_ns: number;
  readonly error_ns: number | null;
  readonly exit_code: number | null;
  readonly signal: number | null;
  readonly exception: string;
}

export interface Decided {
  readonly is_decided: boolean;
  readonly rank: number | null;
  readonly node_id: string | null;
  readonly node_ip: string | null;
  readonly confidence: "high" | "medium" | "low";
  readonly kind: string;
  readonly sentence: string;
  readonly evidence: readonly Exhibit[];
  readonly order: readonly End[];
}

const SHORT_LINES = 14;
const SHORT_ENDS = 10;
const SURE: Record<Decided["confidence"], string> = {
  high: "This is certain: one reason stands clearly before all others.",
  medium: "This is likely: the place is certain, the cause or the order is not quite.",
  low: "This is a guess: several reasons came at once, or only consequences are known.",
};

export function hasFailed(run: RunInFull): boolean {
  return ["Failed", "NotResponding"].includes(run.status) || run.processes.some((one) => one.status === "Failed");
}

interface Props {
  readonly run: RunInFull;
  /** What the collector has decided; undefined where it is not known. */
  readonly data: Decided | undefined;
  readonly isBusy: boolean;
}

export function VerdictView({ run, data, isBusy }: Props) {
  const title = run.status === "Failed" ? "Why it failed" : run.status === "NotResponding" ? "Why it does not respond" : "What has failed";
  const sentence = data?.is_decided ? data.sentence : run.failure?.cause || run.cause || "Why it failed is not known yet.";
  return (
    <section class="verdict" aria-label={title} aria-busy={isBusy}>
      <h2>{title}</h2>
      <p class="sentence">{capital(sentence)}</p>
      {data?.is_decided ? <Shown run={run} decided={data} /> : <Place run={run} failure={run.failure} />}
    </section>
  );
}

function Shown({ run, decided }: { run: RunInFull; decided: Decided }) {
  const [first, others] = split(decided);
  return (
    <>
      <p class="soft">{SURE[decided.confidence]}</p>
      {first.map((one) => (
        <Evidence key={`${one.what}${one.rank}${one.node}`} run={run} one={one} />
      ))}
      {others.length > 0 && (
        <details>
          <summary>What others said ({others.length})</summary>
          {others.map((one) => (
            <Evidence key={`${one.what}${one.rank}${one.node}`} run={run} one={one} />
          ))}
        </details>
      )}
      {decided.order.length > 1 && <Order run={run} decided={decided} />}
    </>
  );
}

function split({ evidence, rank }: Decided): [Exhibit[], Exhibit[]] {
  const isFirst = (one: Exhibit) => one.what !== "consequence" && (rank === null || one.rank === null || one.rank === rank);
  return [evidence.filter(isFirst), evidence.filter((one) => !isFirst(one))];
}

function Evidence({ run, one }: { run: RunInFull; one: Exhibit }) {
  const isShort = !one.text.includes("\n");
  return (
    <div class="evidence">
      <p>
        <strong>{one.rank === null ? one.node : `Rank ${one.rank}`}</strong>, {one.what}
        {one.wall_ns !== null && (
          <span class="soft">
            {" "}
            at <Moment ns={one.wall_ns} />
          </span>
        )}
        {isShort && (
          <>
            : <code>{one.text}</code>
          </>
        )}
        {one.log && (
          <>
            {" · "}
            <Link to={logAddress(run.run_id, pathOf(run, one), one.start)}>Show in {one.log.split("/").at(-1)}</Link>
          </>
        )}
      </p>
      {!isShort && <Words text={one.text} />}
    </div>
  );
}

/** What a rank has written is named as the API names it; the log of a phase as its node does. */
function pathOf(run: RunInFull, { rank, node, log }: Exhibit): string {
  const of = rank === null ? run.nodes.find((one) => one.ip === node && one.failure?.log === log) : undefined;
  return of ? filePath(run, of, log ?? "") : (log ?? "");
}

function Words({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const lines = text.split("\n");
  const hidden = lines.length - SHORT_LINES;
  return (
    <>
      {hidden > 0 && (
        <button type="button" class="quiet" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
          {isWhole ? `Only the last ${SHORT_LINES} lines` : `${hidden} lines before`}
        </button>
      )}
      <pre tabIndex={0}>{(isWhole ? lines : lines.slice(-SHORT_LINES)).join("\n")}</pre>
    </>
  );
}

function Order({ run, decided }: { run: RunInFull; decided: Decided }) {
  const [isWhole, setWhole] = useState(false);
  const start = decided.order[0]?.at_ns ?? 0;
  const rows = isWhole ? decided.order : decided.order.slice(0, SHORT_ENDS);
  const logs = new Map(run.processes.map((one) => [one.rank, one]));
  return (
    <>
      <h3>Who ended when</h3>
      <div class="scroll" role="region" aria-label="Who ended when" tabIndex={0}>
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Rank</th>
              <th scope="col">Node</th>
              <th scope="col">After the first</th>
              <th scope="col">How</th>
              <th scope="col">Part</th>
              <th scope="col">Exception</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((end) => (
              <tr key={end.rank} class={end.rank === decided.rank ? "first" : ""}>
                <td>
                  <RankLink run={run} rank={end.rank} process={logs.get(end.rank)} />
                </td>
                <td>{end.node}</td>
                <td class="figure">
                  {span((end.at_ns - start) / 1e6)}
                  {end.error_ns === null && <span class="soft"> (clock not measured)</span>}
                </td>
                <td>{exitText(end)}</td>
                <td>{part(end, decided)}</td>
                <td class="exception">{end.exception}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {decided.order.length > SHORT_ENDS && (
        <button type="button" class="quiet" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
          {isWhole ? "Fewer" : `All ${decided.order.length} processes`}
        </button>
      )}
    </>
  );
}

function part(end: End, decided: Decided): string {
  if (end.rank === decided.rank) return "failed first";
  return end.exit_code === 0 && end.signal === null ? "ended well" : "followed";
}

function RankLink({ run, rank, process }: { run: RunInFull; rank: number; process: RunInFull["processes"][number] | undefined }) {
  const node = run.nodes.find((one) => one.node_id === process?.node_id);
  if (!process?.log || !node) return <>{rank}</>;
  return (
    <Link to={logAddress(run.run_id, filePath(run, node, process.log))} title={`Log of rank ${rank}`}>
      {String(rank)}
    </Link>
  );
}

function Place({ run, failure }: { run: RunInFull; failure: Failure | null }) {
  if (!failure?.log) return null;
  const node = run.nodes.find((one) => one.failure?.log === failure.log && one.failure.cause === failure.cause);
  const path = node ? filePath(run, node, failure.log) : failure.log;
  return (
    <p>
      <Link to={logAddress(run.run_id, path, failure.start)}>Show in {failure.log.split("/").at(-1)}</Link>
    </p>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

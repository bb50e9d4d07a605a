// Where the processes are: the newest stacks of all ranks, equal ones together, and the button that has them taken now.

import { useEffect, useRef, useState } from "preact/hooks";
import { answerTo, apiUrl, get, send } from "../api/client";
import { type RunInFull, runPath } from "../api/run";
import { useLive } from "../live";
import { ErrorNote } from "../parts/notes";
import { FINAL } from "../parts/status";
import { ranges } from "./process_words";
import { type Group, groups, newest, parse, type RankStacks, STACKS_DIR } from "./stacks";

const LIVE_MS = 30_000;
const SOON_MS = 1000;
const WAIT_MS = 30_000;
const AT_ONCE = 8;
const MOST_BYTES = 4 << 20;
const MAIN_GROUPS = 12;

interface FilePage {
  readonly files: readonly { readonly path: string }[];
  readonly next_page_token?: string;
}

/** Nothing where nobody watches the run and no stacks were taken. */
export function Stacks({ run }: { run: RunInFull }) {
  const isOver = FINAL.has(run.status);
  const isWatched = run.processes.some((one) => one.progress !== null);
  const [wish, setWish] = useState<{ number: number; until: number }>();
  const [error, setError] = useState("");
  const texts = useRef(new Map<string, RankStacks | null>());
  const ask = (signal: AbortSignal) => stacksOf(run, texts.current, signal);
  const isWaiting = wish !== undefined && Date.now() < wish.until;
  const live = useLive(`stacks ${run.run_id} ${run.attempt}`, ask, isOver ? 0 : isWaiting ? SOON_MS : isWatched ? LIVE_MS : 0);
  const stalls = run.processes.reduce((sum, one) => sum + (one.progress?.stalls ?? 0), 0);
  useEffect(() => {
    if (live.data) live.refresh(); // a new stall has stacks of its own
  }, [stalls]);
  const found = live.data ?? [];
  const fresh = wish ? found.filter((one) => one.request >= wish.number).length : 0;

  async function take(): Promise<void> {
    setError("");
    try {
      const { number } = await send<{ number: number }>("POST", `${runPath(run.run_id)}/stacks`);
      setWish({ number, until: Date.now() + WAIT_MS });
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
    }
  }

  if (!found.length && (!isWatched || isOver)) return null;
  return (
    <section class="stacks" aria-label="Stacks">
      <div class="bar-of-tools">
        <h2>Stacks</h2>
        {isWatched && !isOver && (
          <button type="button" onClick={() => void take()}>
            Take them now
          </button>
        )}
        <p class="soft" role="status">
          {wish && isWaiting && fresh < run.processes.filter((one) => one.status === "Started").length
            ? `Waiting for the nodes: ${fresh} have come`
            : live.data
              ? summary(found)
              : "Looking for them"}
        </p>
      </div>
      {error && <ErrorNote>{error}</ErrorNote>}
      <Groups all={groups(found)} />
    </section>
  );
}

function summary(found: readonly RankStacks[]): string {
  const last = found.reduce<RankStacks | undefined>((best, one) => (best && best.taken >= one.taken ? best : one), undefined);
  return last ? `Of rank ${ranges(found.map((one) => one.rank))}, taken ${last.taken}${last.reason && `: ${last.reason}`}` : "None were taken so far: no rank has stalled.";
}

function Groups({ all }: { all: readonly Group[] }) {
  const main = all.filter((one) => one.place === "main thread" || one.place.startsWith("no stacks"));
  const others = all.filter((one) => !main.includes(one));
  return (
    <>
      {main.slice(0, MAIN_GROUPS).map((one) => (
        <Stack key={one.ranks.join() + one.place} group={one} />
      ))}
      {others.length + Math.max(0, main.length - MAIN_GROUPS) > 0 && (
        <details>
          <summary>Other threads and processes ({others.length + Math.max(0, main.length - MAIN_GROUPS)})</summary>
          {[...main.slice(MAIN_GROUPS), ...others].map((one) => (
            <Stack key={one.ranks.join() + one.place + one.frames.join()} group={one} />
          ))}
        </details>
      )}
    </>
  );
}

function Stack({ group }: { group: Group }) {
  return (
    <div class="stack">
      <h3>
        {group.ranks.length > 1 ? `Ranks ${ranges(group.ranks)}` : `Rank ${group.ranks[0]}`}: {group.place}
      </h3>
      {group.frames.length > 0 && <pre tabIndex={0}>{group.frames.join("\n")}</pre>}
    </div>
  );
}

async function stacksOf(run: RunInFull, known: Map<string, RankStacks | null>, signal: AbortSignal): Promise<RankStacks[]> {
  const paths = [...newest(await pathsOf(run, signal), run.attempt).values()];
  const missing = paths.filter((path) => !known.has(path));
  await inTurn(missing, async (path) => known.set(path, parse(await read(run.run_id, path, signal))));
  return paths.map((path) => known.get(path)).filter((one) => one != null);
}

async function pathsOf(run: RunInFull, signal: AbortSignal): Promise<string[]> {
  const prefixes = run.nodes.map((node) => {
    const folder = run.node_count > 1 ? `${node.folder}/` : "";
    return `${folder}${run.attempt ? `attempts/${run.attempt}/` : ""}${STACKS_DIR}/`;
  });
  const pages = await inTurn([...new Set(prefixes)], (prefix) => listed(run.run_id, prefix, signal));
  return pages.flat();
}

async function listed(runId: string, prefix: string, signal: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  let token: string | undefined = "";
  while (token !== undefined) {
    const page: FilePage = await get<FilePage>(`${runPath(runId)}/files`, { prefix, page_size: 1000, page_token: token }, signal);
    found.push(...page.files.map((file) => file.path));
    token = page.next_page_token;
  }
  return found;
}

/** What `work` gives for each, some at a time. */
async function inTurn<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const next = all.entries();
  const worker = async () => {
    for (const [at, one] of next) results[at] = await work(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

async function read(runId: string, path: string, signal: AbortSignal): Promise<string> {
  const url = apiUrl(`${runPath(runId)}/files/${path.split("/").map(encodeURIComponent).join("/")}`);
  const response = await answerTo(url, { headers: { Range: `bytes=0-${MOST_BYTES - 1}` }, signal });
  return response.ok ? response.text() : "";
}

// The stacks of a rank's processes, read from the files that nodes leave below logs/azureml/stacks, and equal ones together. Pure.

export interface Thread {
  readonly name: string;
  readonly frames: readonly string[];
}

export interface Stacked {
  readonly title: string;
  readonly toldBy: string;
  readonly threads: readonly Thread[];
}

export interface RankStacks {
  readonly rank: number;
  readonly taken: string;
  readonly reason: string;
  /** The newest request that this answers. */
  readonly request: number;
  readonly processes: readonly Stacked[];
}

export interface Group {
  readonly place: string;
  readonly frames: readonly string[];
  readonly ranks: readonly number[];
}

export const STACKS_DIR = "logs/azureml/stacks";
const HEAD = /^Stacks of rank (\d+) on node (\S+), taken (\S+)$/;
const NAME = /(?:^|\/)(?:attempts\/(\d+)\/)?logs\/azureml\/stacks\/[^/]+\/([0-9TZ.-]+)-rank(\d+)\.txt$/;
const PROCESS = /^process \d+ \((.*?)\): (.*)$/;

/** Which attempt, time and rank a file of stacks is of; null for another file. */
export function splitName(path: string): { attempt: number; taken: string; rank: number } | null {
  const match = NAME.exec(path);
  return match ? { attempt: Number(match[1] ?? 0), taken: match[2]!, rank: Number(match[3]) } : null;
}

/** The newest file of each rank in this attempt. */
export function newest(paths: Iterable<string>, attempt: number): Map<number, string> {
  const found = new Map<number, { taken: string; path: string }>();
  for (const path of paths) {
    const told = splitName(path);
    if (!told || told.attempt !== attempt) continue;
    const known = found.get(told.rank);
    if (!known || told.taken > known.taken) found.set(told.rank, { taken: told.taken, path });
  }
  return new Map([...found].map(([rank, { path }]) => [rank, path]));
}

/** Null where the text does not begin as such a file does. */
export function parse(text: string): RankStacks | null {
  const [first = "", ...rest] = text.split("\n");
  const head = HEAD.exec(first);
  if (!head) return null;
  const told = (name: string) => rest.slice(0, 2).find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? "";
  return {
    rank: Number(head[1]),
    taken: head[3]!,
    reason: told("reason"),
    request: /^\d+$/.test(told("request")) ? Number(told("request")) : 0,
    processes: processesOf(rest.slice(2)),
  };
}

function processesOf(lines: readonly string[]): Stacked[] {
  const found: { title: string; toldBy: string; threads: { name: string; frames: string[] }[] }[] = [];
  for (const line of lines) {
    const process = PROCESS.exec(line);
    const last = found.at(-1);
    if (process) found.push({ title: process[2]!, toldBy: process[1]!, threads: [] });
    else if (line.startsWith("    ")) last?.threads.at(-1)?.frames.push(line.slice(4));
    else if (line.startsWith("  thread ")) last?.threads.push({ name: line.slice(9), frames: [] });
  }
  return found;
}

/** The stacks of all ranks, equal ones together: main threads of the drivers first, each kind by its lowest rank. */
export function groups(all: Iterable<RankStacks>): Group[] {
  const found = new Map<string, { order: number; place: string; frames: readonly string[]; ranks: Set<number> }>();
  for (const one of all) {
    for (const placed of placesOf(one)) {
      const key = JSON.stringify([placed.order, placed.place, placed.frames]);
      const known = found.get(key);
      if (known) known.ranks.add(one.rank);
      else found.set(key, { ...placed, ranks: new Set([one.rank]) });
    }
  }
  return [...found.values()]
    .map(({ order, place, frames, ranks }) => ({ order, place, frames, ranks: [...ranks].sort((a, b) => a - b) }))
    .sort((one, other) => one.order - other.order || one.ranks[0]! - other.ranks[0]! || (one.place < other.place ? -1 : 1))
    .map(({ place, frames, ranks }) => ({ place, frames, ranks }));
}

function* placesOf(one: RankStacks): Generator<{ order: number; place: string; frames: readonly string[] }> {
  for (const [at, process] of one.processes.entries()) {
    const owner = at === 0 ? "" : ` of its process ${process.title}`;
    if (!process.threads.length && at === 0) yield { order: 0, place: `no stacks: ${process.toldBy}`, frames: [] };
    for (const [nth, thread] of process.threads.entries()) {
      // Thread-3 here is Thread-4 there.
      const what = nth === 0 ? "main thread" : `thread ${thread.name.replace(/\d+/g, "#")}`;
      yield { order: nth === 0 ? (at === 0 ? 0 : 1) : 2, place: what + owner, frames: thread.frames };
    }
  }
}

// A search as the page holds it: asked for a moment after its words have settled, given up when they change.

import { useEffect, useState } from "preact/hooks";
import { type FileCount, type Found, search, type Told, type Wanted } from "./found";

const SETTLED_MS = 250;
const DRAWN_MS = 100;

export interface Searched {
  readonly hits: ReadonlyMap<string, readonly Found[]>;
  readonly counts: ReadonlyMap<string, FileCount>;
  readonly isRunning: boolean;
  /** Why it stopped before everything was searched; "" where it did not. */
  readonly why: string;
  readonly error: string;
}

export const NOTHING: Searched = { hits: new Map(), counts: new Map(), isRunning: false, why: "", error: "" };

/** What `wanted` finds in the run's files, as far as it has been found; asked again when `again` changes. */
export function useSearch(runId: string, wanted: Wanted | null, again: number): Searched {
  const [searched, setSearched] = useState<Searched>(NOTHING);
  const key = wanted && JSON.stringify(wanted);
  useEffect(() => {
    if (!key) {
      setSearched(NOTHING);
      return;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => void run(runId, JSON.parse(key) as Wanted, setSearched, abort.signal), SETTLED_MS);
    setSearched({ ...NOTHING, isRunning: true });
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [runId, key, again]);
  return searched;
}

async function run(runId: string, wanted: Wanted, show: (searched: Searched) => void, signal: AbortSignal): Promise<void> {
  const hits = new Map<string, Found[]>();
  const counts = new Map<string, FileCount>();
  let why = "";
  let drawn = 0;
  const draw = (isRunning: boolean, error = "") => {
    drawn = performance.now();
    if (!signal.aborted) show({ hits: new Map(hits), counts: new Map(counts), isRunning, why, error });
  };
  const take = (told: readonly Told[]) => {
    for (const one of told) {
      if (one.kind === "file") counts.set(one.path, one);
      else if (one.kind === "end") why = one.why === "done" ? "" : one.why;
      else if (!hits.get(one.path)?.push(one)) hits.set(one.path, [one]);
    }
    if (performance.now() - drawn > DRAWN_MS) draw(true);
  };
  try {
    await search(runId, wanted, take, signal);
    draw(false);
  } catch (error) {
    draw(false, error instanceof Error ? error.message : String(error));
  }
}

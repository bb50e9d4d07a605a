// Data that stays true: asked for again while the page is looked at, kept while the collector is away.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api/client";

const RETRY_MS = 2000;

export interface Live<T> {
  readonly data: T | undefined;
  readonly error: Error | undefined;
  /** Asks again now. */
  readonly refresh: () => void;
}

/**
 * What `load` gives, again every `everyMs` (0: only once) and whenever `key` becomes another. Where the collector is away or in trouble,
 * it is asked again until it answers. The last answer stays while the next one is waited for or fails, so nothing jumps; of another
 * key, nothing stays.
 */
export function useLive<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs = 0): Live<T> {
  const [state, setState] = useState<{ key: string; data: T | undefined; error: Error | undefined }>({
    key,
    data: undefined,
    error: undefined,
  });
  const loader = useRef(load);
  loader.current = load;
  const every = useRef(everyMs);
  every.current = everyMs;
  const asking = useRef<Asking>({ again: () => {}, later: () => {} });

  // Before what is known so far is drawn: the answer is on its way meanwhile.
  useLayoutEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    let due = Infinity;
    let isAsking = false;
    let isToRetry = false;
    const pause = () => (isToRetry ? RETRY_MS : every.current);
    async function ask(): Promise<void> {
      if (isAsking) return;
      isAsking = true;
      clearTimeout(timer);
      due = Infinity;
      try {
        const data = await loader.current(abort.signal);
        isToRetry = false;
        if (!abort.signal.aborted) setState({ key, data, error: undefined });
      } catch (failure) {
        if (abort.signal.aborted) return;
        isToRetry = mayPass(failure);
        const error = failure instanceof Error ? failure : new Error(String(failure));
        setState((before) => ({ key, data: before.key === key ? before.data : undefined, error }));
      } finally {
        isAsking = false;
      }
      if (!abort.signal.aborted) later();
    }
    function later(): void {
      const next = performance.now() + pause();
      if (isAsking || !pause() || next >= due) return;
      clearTimeout(timer);
      due = next;
      timer = window.setTimeout(() => void (document.hidden ? 0 : ask()), pause());
    }
    const seen = () => {
      if (!document.hidden && pause()) void ask();
    };
    asking.current = { again: () => void ask(), later };
    document.addEventListener("visibilitychange", seen);
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key]);
  // An answer may say how soon the next one is worth asking for: that may come sooner than was planned, but is no reason to ask now.
  useLayoutEffect(() => asking.current.later(), [everyMs]);

  const isOurs = state.key === key;
  return { data: isOurs ? state.data : undefined, error: isOurs ? state.error : undefined, refresh: () => asking.current.again() };
}

/** Whether the same question may be answered later: nobody has answered, or the collector could not. */
function mayPass(failure: unknown): boolean {
  return failure instanceof ApiError && (failure.status === 0 || failure.status >= 500);
}

interface Asking {
  readonly again: () => void;
  /** Plans the next question, where none is planned that comes sooner. */
  readonly later: () => void;
}

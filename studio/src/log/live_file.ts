// The live end of one file: its bytes as they come, by the run's stream of events. The browser goes on by itself after a break, with
// the last event's id; where the collector refuses (it is just starting), a new stream is asked for, from the file's end on. What came in
// between is read by ranges, so nothing is missed either way. A page that nobody looks at gives its stream back: a browser has only six
// connections to a collector, for all of its tabs together.

import { apiUrl, isReachable } from "../api/client";

const AGAIN_MS = 2000;

export interface Ear {
  /** The file has at least `size` bytes; `bytes` are its last ones, where they have come. */
  grew(size: number, bytes: Uint8Array): void;
  /** Another file has taken its name. */
  replaced(): void;
  /** Nothing more will come. */
  ended(): void;
}

/** Listens until the function that it returns is called. */
export function listen(runId: string, path: string, ear: Ear): () => void {
  let source: EventSource | undefined;
  let timer = 0;
  let generation = -1;
  const stop = () => {
    source?.close();
    clearTimeout(timer);
  };
  const start = () => {
    source = new EventSource(apiUrl(`/runs/${encodeURIComponent(runId)}/follow`, { file: path, tail_lines: 0 }));
    source.addEventListener("open", (event) => {
      isReachable.value = true;
      const told = toldBy<{ offset: number; generation: number; path: string }>(event);
      if (!told || told.path !== path) return;
      if (generation >= 0 && told.generation !== generation) ear.replaced();
      generation = told.generation;
      ear.grew(told.offset, new Uint8Array());
    });
    source.addEventListener("data", (event) => {
      const told = toldBy<{ offset: number; data: string }>(event);
      if (!told) return;
      const bytes = bytesOf(told.data);
      ear.grew(told.offset + bytes.length, bytes);
    });
    source.addEventListener("gap", (event) => {
      const told = toldBy<{ offset: number; length: number }>(event);
      if (told) ear.grew(told.offset + told.length, new Uint8Array());
    });
    for (const last of ["end", "removed"]) {
      source.addEventListener(last, () => {
        leave();
        ear.ended();
      });
    }
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      timer = window.setTimeout(start, AGAIN_MS);
    };
  };
  const look = () => {
    stop();
    if (!document.hidden) start();
  };
  const leave = () => {
    document.removeEventListener("visibilitychange", look);
    stop();
  };
  document.addEventListener("visibilitychange", look);
  look();
  return leave;
}

/** What an event says; of the connection's own "open", which has the same name, nothing. */
function toldBy<T>(event: Event): T | null {
  return event instanceof MessageEvent && typeof event.data === "string" ? (JSON.parse(event.data) as T) : null;
}

function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

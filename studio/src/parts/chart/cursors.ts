// Where the cursor stands: charts with the same key share one.

import { signal, type Signal } from "@preact/signals";

export interface Cursor {
  readonly x: number | null;
  /** The chart that moved it. */
  readonly by: object | null;
}

const shared = new Map<string, Signal<Cursor>>();

export function cursorFor(key: string | undefined): Signal<Cursor> {
  if (key === undefined) return signal<Cursor>({ x: null, by: null });
  let found = shared.get(key);
  if (!found) shared.set(key, (found = signal<Cursor>({ x: null, by: null })));
  return found;
}

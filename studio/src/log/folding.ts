// Which rows of a log are opened, and which tracebacks are folded.

import { useCallback, useMemo, useState } from "preact/hooks";
import { type Prepared, unitsOf } from "./prepared";

export interface Trace {
  readonly kind: "head" | "body" | "folded" | "hidden";
  readonly title: string;
}

function tracesOf(rows: readonly Prepared[], folded: ReadonlySet<number>): (Trace | undefined)[] {
  const traces: (Trace | undefined)[] = [];
  for (const unit of unitsOf(rows)) {
    const [head = 0, ...rest] = unit.rows;
    const isFolded = folded.has(rows[head]?.row.start ?? -1);
    traces[head] = { kind: isFolded ? "folded" : "head", title: unit.title };
    for (const at of rest) traces[at] = { kind: isFolded ? "hidden" : "body", title: unit.title };
  }
  return traces;
}

export function useFolding(prepared: readonly Prepared[]) {
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const [folded, setFolded] = useState<ReadonlySet<number>>(new Set());
  const traces = useMemo(() => tracesOf(prepared, folded), [prepared, folded]);
  const toggleOpen = useCallback((start: number) => setOpen((before) => toggled(before, start)), []);
  const toggleFold = useCallback((start: number) => setFolded((before) => toggled(before, start)), []);
  return { traces, open, folded, toggleOpen, toggleFold };
}

function toggled(before: ReadonlySet<number>, one: number): ReadonlySet<number> {
  const after = new Set(before);
  if (!after.delete(one)) after.add(one);
  return after;
}

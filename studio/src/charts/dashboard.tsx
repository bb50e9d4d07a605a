// The charts of an experiment: of the selected runs, or of its newest ones where none are.

import { useMemo, useState } from "preact/hooks";
import { get } from "../api/client";
import { useLive } from "../live";
import { ErrorNote } from "../parts/notes";
import { Board } from "./board";

interface Props {
  readonly experiment: string;
  /** Ids of the runs that are selected in the table below; none: the newest that pass the filter. */
  readonly selected: readonly string[];
  /** In the language of POST /runs/query. */
  readonly filter?: string;
}

interface KnownNames {
  readonly metrics: readonly string[];
  readonly params: Readonly<Record<string, readonly string[]>>;
}

const HIDDEN_KEY = "runyard.charts-hidden";
const NAMES_MS = 10_000;

export function Dashboard({ experiment, selected, filter = "" }: Props) {
  const [isHidden, setHidden] = useState(() => localStorage.getItem(HIDDEN_KEY) === "1");
  const known = useLive(`names ${experiment}`, (signal) => get<KnownNames>("/known-names", { experiment }, signal), NAMES_MS);
  const text = known.data && JSON.stringify([known.data.metrics, Object.keys(known.data.params)]);
  const names = useMemo(() => known.data && { metrics: known.data.metrics, params: Object.keys(known.data.params) }, [text]);
  const which = selected.join(" ");
  const scope = useMemo(() => ({ experiment, filter, runIds: selected }), [experiment, filter, which]);
  return (
    <section class="dashboard" aria-label="Charts">
      <header class="board-head">
        <h2>Charts</h2>
        <span class="soft">{selected.length ? `of ${selected.length} selected` : "of the newest runs; select runs below to choose"}</span>
        <button
          type="button"
          class="quiet"
          aria-expanded={!isHidden}
          onClick={() => {
            localStorage.setItem(HIDDEN_KEY, isHidden ? "0" : "1");
            setHidden(!isHidden);
          }}
        >
          {isHidden ? "Show charts" : "Hide charts"}
        </button>
      </header>
      {known.error && !known.data && <ErrorNote>{known.error.message}</ErrorNote>}
      {!isHidden && <Board scope={scope} place={experiment} names={names} />}
    </section>
  );
}

// The charts of a place (an experiment): those of the link that was opened, or those kept, or what is sensible without any.

import { useMemo, useState } from "preact/hooks";
import { place as here, setQuery } from "../router";
import { defaults, type Charts } from "./arrangement";
import { keep, packed, readKept, unpacked } from "./kept";

export interface Names {
  readonly metrics: readonly string[];
  readonly params: readonly string[];
}

export interface Charted {
  readonly charts: Charts;
  /** They came with the address and are not kept. */
  readonly isLinked: boolean;
  /** They are somebody's own, and not what is shown without any. */
  readonly isOwn: boolean;
  readonly change: (charts: Charts) => void;
  readonly reset: () => void;
  /** Leaves the link's charts for those that are kept. */
  readonly leaveLink: () => void;
}

export function useCharts(place: string, names: Names | undefined): Charted {
  const word = here.value.query.get("charts");
  const linked = useMemo(() => (word ? unpacked(word) : undefined), [word]);
  const [version, setVersion] = useState(0);
  const kept = useMemo(() => readKept(place), [place, version]);
  const first = useMemo(() => (names ? defaults(names.metrics, names.params) : []), [names]);
  function change(charts: Charts | undefined): void {
    keep(place, charts);
    setVersion(version + 1);
    if (linked) setQuery({ charts: null });
  }
  return {
    charts: linked ?? kept ?? first,
    isLinked: linked !== undefined,
    isOwn: kept !== undefined,
    change,
    reset: () => change(undefined),
    leaveLink: () => setQuery({ charts: null }),
  };
}

/** The address of this page with these charts in it. */
export function linkTo(charts: Charts): string {
  const url = new URL(location.href);
  url.searchParams.set("charts", packed(charts));
  return url.href;
}

// The address is the state: which page is shown, and what is asked of it. Pages change it by `go` and `setQuery`.

import { computed, signal } from "@preact/signals";

export { address } from "./address";

export interface Place {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly hash: string;
}

function here(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search), hash: location.hash };
}

export const place = signal<Place>(here());
export const parts = computed(() => place.value.path.split("/").filter(Boolean).map(decodeURIComponent));

addEventListener("popstate", () => {
  place.value = here();
});

/** Shows another page. `replace` leaves no step to go back to. */
export function go(address: string, replace = false): void {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  place.value = here();
  if (!replace) scrollTo(0, 0);
}

/** Changes what is asked of this page; null takes a part away. */
export function setQuery(changes: Record<string, string | null>, replace = true): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  go(location.pathname + (text ? `?${text}` : "") + location.hash, replace);
}

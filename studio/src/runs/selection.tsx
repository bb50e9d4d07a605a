// What can be done with the runs that are selected.

import type { ComponentChildren } from "preact";
import { Link } from "../parts/link";

interface Props {
  readonly runIds: readonly string[];
  readonly onClear: () => void;
  /** Further actions. */
  readonly children?: ComponentChildren;
}

const MOST_COMPARED = 50;

/** The bar over the table. Its room is reserved, so that the table stays where it is. */
export function SelectionBar({ runIds, onClear, children }: Props) {
  const compared = runIds.slice(0, MOST_COMPARED);
  const query = new URLSearchParams(compared.map((run_id) => ["run", run_id]));
  return (
    <div class="selection" role="group" aria-label="Selected runs">
      <span role="status">{runIds.length ? `${runIds.length.toLocaleString()} selected` : ""}</span>
      {runIds.length > 1 && (
        <Link class="as-button" to={`/compare?${query}`}>
          {runIds.length > MOST_COMPARED ? `Compare the first ${MOST_COMPARED}` : "Compare"}
        </Link>
      )}
      {runIds.length > 0 && children}
      {runIds.length > 0 && (
        <button type="button" class="quiet" onClick={onClear}>
          Clear selection
        </button>
      )}
    </div>
  );
}

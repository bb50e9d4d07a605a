// The children of a run: what each came to by its iteration, and all of them as a table. A click opens one.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Sort } from "../parts/table_model";
import { TrialsChart } from "../run/trials_chart";
import { TrialsTable } from "../run/trials_table";
import type { TrialsPart } from "./model";

const MOST_ROWS = 10;

export function ChildRuns({ trials }: { trials: TrialsPart }): JSX.Element | null {
  const [sort, setSort] = useState<Sort>({ column: "iteration", isAscending: true });
  if (!trials.trials.length) return null;
  return (
    <section class="children" aria-label="Children">
      {trials.goal && trials.trials.some((one) => one.value !== null) && <TrialsChart trials={trials} metric={trials.goal.metric} />}
      <TrialsTable trials={trials} sort={sort} onSort={setSort} most={MOST_ROWS} />
      {trials.is_cut && <p class="soft">These are the first {trials.trials.length} children; all of them are in Studio.</p>}
    </section>
  );
}

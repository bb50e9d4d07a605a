// Runs side by side: a row for each parameter and metric, and whether the runs differ in it. Pure.

import { number } from "../format";

export interface Side {
  readonly name: string;
  /** null: the run has none. */
  readonly values: readonly (string | null)[];
  readonly isDifferent: boolean;
}

/** The rows of all names that any of the runs has, in alphabetical order. */
export function sideBySide(runs: readonly ReadonlyMap<string, string>[]): Side[] {
  const names = [...new Set(runs.flatMap((run) => [...run.keys()]))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return names.map((name) => {
    const values = runs.map((run) => run.get(name) ?? null);
    return { name, values, isDifferent: new Set(values).size > 1 };
  });
}

export function textOf(value: unknown): string {
  return typeof value === "number" || value === null ? number(value) : String(value);
}

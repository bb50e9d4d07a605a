// The children of a run as a table: all pages of it, the same objects as long as they say the same, and their order.

import { get } from "../api/client";
import { type Goal, type RunInFull, runPath } from "../api/run";
import type { RunStatus } from "../api/types";

export interface Trial {
  readonly run_id: string;
  readonly iteration: number;
  readonly name: string;
  readonly kind: string;
  readonly status: RunStatus;
  readonly cause: string;
  readonly created_ns: number;
  readonly started_ns: number | null;
  readonly ended_ns: number | null;
  readonly duration_s: number | null;
  readonly params: Readonly<Record<string, string>>;
  readonly value: number | null;
  /** The best value of this child and those before it. */
  readonly best: number | null;
}

export interface Trials {
  readonly goal: Goal | null;
  readonly best_run_id: string | null;
  readonly best_value: number | null;
  readonly trials: readonly Trial[];
}

interface Page extends Trials {
  readonly next: number | null;
}

const MOST_TRIALS = 20_000;

/** All children; `goal` in place of the run's own. */
export async function allTrials(run: RunInFull, goal: Goal | null, before: Trials | undefined, signal: AbortSignal): Promise<Trials> {
  const known = new Map(before?.trials.map((one) => [one.run_id, one]));
  const trials: Trial[] = [];
  let [first, page] = [0, undefined as Page | undefined];
  do {
    page = await get<Page>(`${runPath(run.run_id)}/trials`, { first, limit: 1000, ...(goal ?? {}) }, signal);
    trials.push(...page.trials.map((one) => same(known.get(one.run_id), one)));
    first = page.next ?? 0;
  } while (page.next !== null && trials.length < MOST_TRIALS);
  return { goal: page.goal, best_run_id: page.best_run_id, best_value: page.best_value, trials };
}

function same(before: Trial | undefined, now: Trial): Trial {
  return before && JSON.stringify(before) === JSON.stringify(now) ? before : now;
}

/** The names of all parameters, those that differ first: they are what one looks for. */
export function paramNames(trials: readonly Trial[]): string[] {
  const values = new Map<string, Set<string | undefined>>();
  for (const { params } of trials) for (const name of Object.keys(params)) if (!values.has(name)) values.set(name, new Set());
  for (const [name, found] of values) for (const { params } of trials) found.add(params[name]);
  const differs = (name: string) => (values.get(name)!.size > 1 ? 0 : 1);
  return [...values.keys()].sort((one, other) => differs(one) - differs(other) || one.localeCompare(other));
}

type Key = string | number | null;

function keyOf(column: string): (trial: Trial) => Key {
  if (column.startsWith("params.")) return (trial) => numeric(trial.params[column.slice(7)] ?? null);
  if (column === "took") return (trial) => trial.duration_s;
  if (column === "value" || column === "best" || column === "status" || column === "name") return (trial) => trial[column];
  return (trial) => trial.iteration;
}

function numeric(text: string | null): Key {
  return text !== null && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** In the order of a column; what has no value comes last in either direction. */
export function ordered(trials: readonly Trial[], column: string, isAscending: boolean): Trial[] {
  const key = keyOf(column);
  const sign = isAscending ? 1 : -1;
  return [...trials].sort((one, other) => compare(key(one), key(other), sign) || one.iteration - other.iteration);
}

function compare(one: Key, other: Key, sign: number): number {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * String(one).localeCompare(String(other), undefined, { numeric: true });
}

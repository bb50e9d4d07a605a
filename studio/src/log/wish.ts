// What is to be seen, as the address says it. Pure.

import type { Condition, Wanted } from "./found";
import type { Described, Phase } from "./files";
import { isOverall } from "./files";
import { labelPattern } from "./labels";
import { LEVEL_PATTERNS } from "./tracebacks";

export interface Wish {
  readonly words: string;
  readonly isRegex: boolean;
  readonly isCase: boolean;
  readonly scope: "file" | "run";
  readonly isOnly: boolean;
  readonly level: "" | "warning" | "error";
  readonly source: "" | "stdout" | "stderr";
  readonly ranks: string;
  readonly node: string;
  readonly phase: "" | Phase;
  /** Moments in Unix milliseconds, the same for whoever opens the link; 0: none. */
  readonly since: number;
  readonly until: number;
}

export function wishOf(query: URLSearchParams): Wish {
  const text = (name: string) => query.get(name) ?? "";
  const level = text("level");
  const source = text("stream");
  return {
    words: text("q"),
    isRegex: text("regex") === "1",
    isCase: text("case") === "1",
    scope: text("in") === "run" ? "run" : "file",
    isOnly: text("only") === "1",
    level: level === "error" || level === "warning" ? level : "",
    source: source === "stdout" || source === "stderr" ? source : "",
    ranks: text("rank"),
    node: text("node"),
    phase: text("phase") as Wish["phase"],
    since: momentOf(text("since")),
    until: momentOf(text("until")),
  };
}

/** Whether lines are looked for at all; rank, node and phase alone only say in which files. */
export function isSearch(wish: Wish): boolean {
  return Boolean(wish.words || wish.level || wish.source || wish.since || wish.until);
}

/** "0,3,5-7" as numbers; what is none is passed over. */
export function ranksOf(text: string): number[] {
  const ranks: number[] = [];
  for (const part of text.split(/[,\s]+/)) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    if (!match) continue;
    const first = Number(match[1]);
    const last = Math.min(Number(match[2] ?? first), first + 4096);
    for (let rank = first; rank <= last; rank += 1) ranks.push(rank);
  }
  return ranks;
}

/** Whether a file is of the ranks, the node and the phase that are wanted. */
export function isWanted(wish: Wish, one: Described): boolean {
  const ranks = ranksOf(wish.ranks);
  if (wish.node && one.file.folder !== wish.node && one.file.node_id !== wish.node && !isOverall(one.file)) return false;
  if (ranks.length && !(one.rank !== null && ranks.includes(one.rank)) && !isOverall(one.file)) return false;
  return !wish.phase || one.phase === wish.phase;
}

/** The question to the collector. `file`: the open one; `all`: where all files are searched. */
export function wanted(wish: Wish, file: Described | undefined, all: readonly Described[]): Wanted | null {
  if (!isSearch(wish)) return null;
  const isRun = wish.scope === "run";
  if (!isRun && !file) return null;
  const files = isRun ? all.filter((one) => isWanted(wish, one) && isSearched(one)).map((one) => one.file.path) : [file?.file.path ?? ""];
  if (!files.length) return null;
  return {
    conditions: conditionsOf(wish, isRun ? undefined : file),
    files,
    most_per_file: isRun ? 50 : 2000,
    ...(wish.source ? { source: wish.source } : {}),
    ...(wish.since ? { since_ns: wish.since * 1e6 } : {}),
    ...(wish.until ? { until_ns: wish.until * 1e6 } : {}),
  };
}

function isSearched(one: Described): boolean {
  // The overall logs hold what the nodes' own files hold already.
  return one.kind !== "image" && one.kind !== "bytes" && !one.file.isUploaded && !isOverall(one.file);
}

function conditionsOf(wish: Wish, file: Described | undefined): Condition[] {
  const conditions: Condition[] = [];
  if (wish.words) conditions.push({ pattern: wish.words, is_regex: wish.isRegex, is_case: wish.isCase });
  if (wish.level) conditions.push({ pattern: levelPattern(wish.level), is_regex: true, is_case: true });
  const labels = file && isOverall(file.file) ? labelPattern(ranksOf(wish.ranks), wish.node ? [wish.node] : []) : "";
  if (labels) conditions.push({ pattern: labels, is_regex: true, is_case: true });
  return conditions;
}

function levelPattern(level: "warning" | "error"): string {
  return level === "error" ? LEVEL_PATTERNS.error : `${LEVEL_PATTERNS.error}|${LEVEL_PATTERNS.warning}`;
}

/** A moment as an address has it, or a date and time as its field or a person writes it; 0 where it is none. */
export function momentOf(text: string): number {
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
}

/** A moment as a field of this browser's local date and time shows it. */
export function localOf(ms: number): string {
  if (!ms) return "";
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export type Goal = { readonly kind: "line" | "byte" | "share" | "time"; readonly value: number };

/** What is typed to go somewhere: 120 (a line), 50% of the file, @4096 (a byte), 12:30:05 or a date and time. */
export function goalOf(text: string, dayMs: number): Goal | null {
  const clean = text.trim();
  if (/^\d{1,15}$/.test(clean)) return { kind: "line", value: Number(clean) };
  if (/^@\d{1,15}$/.test(clean)) return { kind: "byte", value: Number(clean.slice(1)) };
  if (/^\d{1,3}(?:\.\d+)?%$/.test(clean)) return { kind: "share", value: Math.min(1, parseFloat(clean) / 100) };
  const clock = /^(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?$/.exec(clean);
  if (clock) {
    const date = new Date(dayMs);
    date.setHours(Number(clock[1]), Number(clock[2]), 0, Math.round(Number(clock[3] ?? 0) * 1000));
    return { kind: "time", value: date.getTime() };
  }
  const ms = Date.parse(clean.replace(" ", "T"));
  return Number.isNaN(ms) ? null : { kind: "time", value: ms };
}

// The labels at the beginning of each line of a run's overall logs, as runyard/labels.py writes them. Pure.

export interface Label {
  readonly node: string;
  /** Which process; null where the line is of the node itself ("log 65"). */
  readonly rank: number | null;
  readonly what: string;
  readonly attempt: number;
  readonly isLate: boolean;
  readonly isPart: boolean;
  /** So many bytes were dropped by the node. */
  readonly gapBytes: number;
  /** Characters of the label. */
  readonly length: number;
}

export const OVERALL_LOGS: ReadonlySet<string> = new Set([
  "logs/azureml/stdoutlogs.txt",
  "logs/azureml/stderrlogs.txt",
  "logs/azureml/executionlogs.txt",
]);

const LABEL = /^\[([^ \]]+) ((?:rank|log) (\d+))(?: attempt (\d+))?(?: generation \d+)?( late)?( part)?(?: gap (\d+))?\] /;

/** The label with which a line of an overall log begins, or null. */
export function labelOf(text: string): Label | null {
  const match = LABEL.exec(text);
  if (!match) return null;
  const what = match[2] ?? "";
  return {
    node: match[1] ?? "",
    what,
    rank: what.startsWith("rank") ? Number(match[3]) : null,
    attempt: Number(match[4] ?? 0),
    isLate: Boolean(match[5]),
    isPart: Boolean(match[6]),
    gapBytes: Number(match[7] ?? 0),
    length: match[0].length,
  };
}

/** A regular expression for the lines of some ranks and nodes; empty: all. */
export function labelPattern(ranks: readonly number[], nodes: readonly string[]): string {
  if (!ranks.length && !nodes.length) return "";
  const node = nodes.length ? `(?:${nodes.map(escaped).join("|")})` : "[^ \\]]+";
  const rank = ranks.length ? `rank (?:${ranks.join("|")})(?=[ \\]])` : "(?:rank|log) \\d+";
  return `^\\[${node} ${rank}`;
}

/** `text` as a regular expression that means just that. */
export function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|-]/g, "\\$&");
}

/** Which of 12 colours a rank has: neighbours have different ones. */
export function hueOf(rank: number | null): number {
  return rank === null ? -1 : (rank * 5) % 12;
}

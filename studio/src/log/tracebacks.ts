// Tracebacks of Python in a log as units: chained exceptions belong together, lines of other ranks in between do not. Pure.

export interface TextRow {
  /** Whose line it is: only lines of the same process belong together. */
  readonly key: string;
  readonly text: string;
}

export interface Traceback {
  /** Positions of its rows. */
  readonly rows: readonly number[];
  /** Its last line: what was raised. */
  readonly title: string;
}

const HEAD = /^(?:\s|\[rank\d+\]: ?|\+ |\| )*(?:Exception Group )?Traceback \(most recent call last\):/;
const CHAINED = /^(?:\s|\[rank\d+\]: ?)*(?:During handling of the above exception|The above exception was the direct cause)/;
const RANK = /^\[rank\d+\]: ?/;
const RAISED = /^[A-Za-z_][\w.]*(?:: |$|:$)/;

/** All tracebacks among `rows`. One that begins before the first row, or ends behind the last, is a unit as far as it is there. */
export function tracebacksOf(rows: readonly TextRow[]): Traceback[] {
  const byKey = new Map<string, number[]>();
  rows.forEach((row, at) => {
    const found = byKey.get(row.key);
    if (found) found.push(at);
    else byKey.set(row.key, [at]);
  });
  return [...byKey.values()].flatMap((places) => ofOne(rows, places)).sort((a, b) => (a.rows[0] ?? 0) - (b.rows[0] ?? 0));
}

function ofOne(rows: readonly TextRow[], places: readonly number[]): Traceback[] {
  const text = (at: number) => rows[places[at] ?? -1]?.text ?? "";
  const found: Traceback[] = [];
  let at = 0;
  while (at < places.length) {
    if (!HEAD.test(text(at))) {
      at += 1;
      continue;
    }
    const start = at;
    let end = endOf(text, at, places.length);
    for (let next = chainedAt(text, end, places.length); next; next = chainedAt(text, end, places.length)) end = endOf(text, next, places.length);
    found.push({ rows: places.slice(start, end), title: text(end - 1).replace(RANK, "").trim() });
    at = end;
  }
  return found;
}

/** Behind the line that says what was raised by the traceback whose head is at `head`. */
function endOf(text: (at: number) => string, head: number, count: number): number {
  let at = head + 1;
  while (at < count && /^\s/.test(text(at).replace(RANK, "")) && !HEAD.test(text(at))) at += 1;
  if (at < count && RAISED.test(text(at).replace(RANK, "").trimStart())) at += 1;
  return at;
}

/** The head of the traceback that another one led to, where the words for it stand behind `end`; 0 where not. */
function chainedAt(text: (at: number) => string, end: number, count: number): number {
  let at = end;
  const skipEmpty = () => {
    while (at < count && !text(at).replace(RANK, "").trim()) at += 1;
  };
  skipEmpty();
  if (at >= count || !CHAINED.test(text(at))) return 0;
  at += 1;
  skipEmpty();
  return at < count && HEAD.test(text(at)) ? at : 0;
}

export type Level = "" | "warning" | "error";

/** What the lines of a level have in them; the collector's search takes the same words. */
export const LEVEL_PATTERNS: Readonly<Record<"warning" | "error", string>> = {
  error: String.raw`\b(?:ERROR|FATAL|CRITICAL|PANIC)\b|\b(?:error|fatal|panic):|(?:Error|Exception)(?::|$)|Traceback \(most recent call last\)`,
  warning: String.raw`\bWARN(?:ING)?\b|\bwarning:|[a-z]Warning\b`,
};
const ERROR = new RegExp(LEVEL_PATTERNS.error);
const WARNING = new RegExp(LEVEL_PATTERNS.warning);

/** How bad a line says it is; its first 400 characters tell. */
export function levelOf(text: string): Level {
  const start = text.slice(0, 400);
  if (ERROR.test(start)) return "error";
  return WARNING.test(start) ? "warning" : "";
}

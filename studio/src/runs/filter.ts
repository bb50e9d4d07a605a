// The filter of the table of runs as clauses that all have to hold, each of which is a chip. The language is the collector's
// (docs/http-api.md), and beside it lengths of time: `created > -24h` is the last day. Pure.

export type Entity = "attribute" | "metric" | "param" | "tag";

export interface Clause {
  readonly entity: Entity;
  readonly key: string;
  /** In capitals: =, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT IN, IS NULL, IS NOT NULL. */
  readonly comparator: string;
  readonly values: readonly string[];
}

const QUOTED = String.raw`"(?:[^"]|"")*"|\x60[^\x60]*\x60`;
const PART = String.raw`(?:[^\W\d][\w$#]*|\d+[^\W\d][\w$#]*|${QUOTED})`;
const TOKEN = new RegExp(
  [
    String.raw`(?<space>\s+)`,
    String.raw`(?<text>'(?:[^']|'')*')`,
    String.raw`(?<ago>-\d+(?:m|h|d|w)(?!\w))`,
    String.raw`(?<number>-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?!\w))`,
    String.raw`(?<name>${PART}(?:\.(?:[\w$#]+|${QUOTED}))*)`,
    String.raw`(?<operator><=|>=|!=|<>|==|=|<|>)`,
    String.raw`(?<list>\((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^()'"])*\))`,
  ].join("|"),
  "uy",
);
const ENTITIES: Readonly<Record<string, Entity>> = {
  metric: "metric",
  metrics: "metric",
  param: "param",
  params: "param",
  parameter: "param",
  parameters: "param",
  tag: "tag",
  tags: "tag",
  attribute: "attribute",
  attributes: "attribute",
  attr: "attribute",
  run: "attribute",
};
const WORDY = new Set(["LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]);
const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
export const TIMES: ReadonlySet<string> = new Set(["created", "started", "ended"]);
export const NUMBERS: ReadonlySet<string> = new Set([...TIMES, "number", "duration", "node_count", "process_count"]);

interface Token {
  readonly kind: string;
  readonly text: string;
}

export class FilterError extends Error {}

/** The clauses of a filter; throws FilterError with a sentence where it is none. */
export function parseFilter(text: string): Clause[] {
  const tokens = tokenize(text);
  const clauses: Clause[] = [];
  let at = 0;
  while (at < tokens.length) {
    if (clauses.length && !isWord(tokens[at++], "AND")) {
      throw new FilterError("Conditions are joined by AND; there is no OR. For one of several values write status IN ('Failed', 'Canceled').");
    }
    const [clause, next] = parseClause(tokens, at);
    clauses.push(clause);
    at = next;
  }
  return clauses;
}

function tokenize(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const from = TOKEN.lastIndex;
    const groups = TOKEN.exec(text)?.groups;
    const [kind, part] = Object.entries(groups ?? {}).find(([, value]) => value !== undefined) ?? [];
    if (!kind || part === undefined) throw new FilterError(`“${text.slice(from, from + 30)}” cannot be read; texts stand in quotes: user = 'ada'.`);
    if (kind !== "space") found.push({ kind, text: part });
  }
  return found;
}

function isWord(token: Token | undefined, word: string): boolean {
  return token?.kind === "name" && token.text.toUpperCase() === word;
}

function parseClause(tokens: readonly Token[], at: number): [Clause, number] {
  const name = tokens[at];
  if (name?.kind !== "name") throw new FilterError("A condition begins with a name: status, user, metrics.loss, params.lr, tags.team, …");
  const { entity, key } = subjectOf(name.text);
  const [comparator, next] = parseComparator(tokens, at + 1);
  if (comparator.startsWith("IS")) return [{ entity, key, comparator, values: [] }, next];
  const value = tokens[next];
  if (!value) throw new FilterError(`Nothing stands behind “${name.text} ${comparator}”.`);
  return [{ entity, key, comparator, values: valuesOf(value) }, next + 1];
}

function subjectOf(text: string): { entity: Entity; key: string } {
  const quote = text.startsWith("`") || text.startsWith('"');
  const dot = quote ? -1 : text.indexOf(".");
  if (dot < 0) return { entity: "attribute", key: plain(text) };
  const entity = ENTITIES[text.slice(0, dot)];
  if (!entity) throw new FilterError(`“${text.slice(0, dot)}” is none of metrics, params, tags.`);
  return { entity, key: plain(text.slice(dot + 1)) };
}

function plain(text: string): string {
  const isQuoted = text.length > 1 && (text[0] === "`" || text[0] === '"') && text.at(-1) === text[0];
  return isQuoted ? text.slice(1, -1) : text;
}

function parseComparator(tokens: readonly Token[], at: number): [string, number] {
  const first = tokens[at];
  if (first?.kind === "operator") return [{ "==": "=", "<>": "!=" }[first.text] ?? first.text, at + 1];
  let said = "";
  for (let next = at; next < Math.min(at + 3, tokens.length) && tokens[next]?.kind === "name"; next += 1) {
    said = `${said} ${tokens[next]?.text.toUpperCase()}`.trim();
    if (WORDY.has(said)) return [said, next + 1];
  }
  throw new FilterError("Behind a name stands =, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT IN, IS NULL or IS NOT NULL.");
}

function valuesOf({ kind, text }: Token): string[] {
  if (kind === "list") {
    const found = [...text.slice(1, -1).matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/g)];
    return found.map(([, single, double]) => (single ?? double ?? "").replace(/\\(['"\\])/g, "$1"));
  }
  if (kind === "text") return [text.slice(1, -1)];
  if (kind === "name") {
    if (text.startsWith('"') && text.endsWith('"')) return [text.slice(1, -1)];
    throw new FilterError(`Texts stand in quotes: write '${text}'.`);
  }
  if (kind === "operator") throw new FilterError(`A value was expected, not “${text}”.`);
  return [text];
}

/** A clause in the filter's language. */
export function printClause({ entity, key, comparator, values }: Clause): string {
  const name = entity === "attribute" ? key : `${entity}s.${/^[A-Za-z_][\w]*$/.test(key) ? key : quotedName(key)}`;
  if (comparator.startsWith("IS")) return `${name} ${comparator}`;
  if (comparator.endsWith("IN")) return `${name} ${comparator} (${values.map(quotedInList).join(", ")})`;
  const value = values[0] ?? "";
  const isNumber = entity === "metric" || (entity === "attribute" && NUMBERS.has(key));
  return `${name} ${comparator} ${isNumber ? value : quoted(value)}`;
}

export function printFilter(clauses: readonly Clause[]): string {
  return clauses.map(printClause).join(" AND ");
}

function quotedName(name: string): string {
  return name.includes("`") ? `"${name}"` : `\`${name}\``;
}

function quoted(value: string): string {
  return value.includes("'") ? `"${value}"` : `'${value}'`;
}

function quotedInList(value: string): string {
  return `'${value.replace(/['\\]/g, "\\$&")}'`;
}

/** The filter as the collector takes it: lengths of time become moments before `nowMs`. */
export function forCollector(clauses: readonly Clause[], nowMs: number): string {
  return printFilter(
    clauses.map((clause) => {
      const ago = TIMES.has(clause.key) && clause.entity === "attribute" ? agoMs(clause.values[0] ?? "") : undefined;
      return ago === undefined ? clause : { ...clause, values: [String(nowMs - ago)] };
    }),
  );
}

/** -24h in milliseconds; undefined of what is no length of time. */
export function agoMs(text: string): number | undefined {
  const found = /^-(\d+)([mhdw])$/.exec(text);
  return found ? Number(found[1]) * (UNIT_MS[found[2] ?? ""] ?? 0) : undefined;
}

/** What somebody has typed: conditions, or else a part of a name. */
export function parseTyped(text: string): Clause[] {
  const words = text.trim();
  if (!words) return [];
  const isPlain = !/[=<>'"`()]/.test(words) && !/\s(like|ilike|in|is)\s/i.test(words);
  if (isPlain) return [{ entity: "attribute", key: "name", comparator: "ILIKE", values: [`%${words}%`] }];
  return parseFilter(words);
}

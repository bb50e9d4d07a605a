// Conditions as a person reads them, and the fields that the filter's menu offers. Pure.

import { type Clause, type Entity, agoMs, TIMES } from "./filter";

export interface Field {
  readonly id: string;
  readonly title: string;
  readonly entity: Entity;
  /** Empty: a name has to be given, too. */
  readonly key: string;
  readonly kind: "choice" | "text" | "time" | "named";
}

export const FIELDS: readonly Field[] = [
  { id: "name", title: "Name", entity: "attribute", key: "name", kind: "text" },
  { id: "status", title: "Status", entity: "attribute", key: "status", kind: "choice" },
  { id: "experiment", title: "Experiment", entity: "attribute", key: "experiment", kind: "choice" },
  { id: "user", title: "User", entity: "attribute", key: "user", kind: "choice" },
  { id: "time", title: "Time", entity: "attribute", key: "created", kind: "time" },
  { id: "metric", title: "Metric", entity: "metric", key: "", kind: "named" },
  { id: "param", title: "Parameter", entity: "param", key: "", kind: "named" },
  { id: "tag", title: "Tag", entity: "tag", key: "", kind: "named" },
  { id: "cluster", title: "Cluster", entity: "attribute", key: "cluster", kind: "choice" },
  { id: "node", title: "Node", entity: "attribute", key: "node", kind: "choice" },
];

/** The field in which a condition can be changed; undefined: only as it is written. */
export function fieldOf(clause: Clause): Field | undefined {
  if (clause.entity !== "attribute") return FIELDS.find((field) => field.entity === clause.entity);
  const field = TIMES.has(clause.key) ? FIELDS.find(({ kind }) => kind === "time") : FIELDS.find(({ key }) => key === clause.key);
  const isChoice = ["=", "IN", "!=", "NOT IN"].includes(clause.comparator);
  if (field?.kind === "choice" && !isChoice) return undefined;
  if (field?.kind === "text" && clause.comparator !== "ILIKE") return undefined;
  return field;
}

const COMPARED: Readonly<Record<string, string>> = {
  "=": "is",
  "!=": "is not",
  IN: "is",
  "NOT IN": "is not",
  LIKE: "is like",
  ILIKE: "is like",
  "IS NULL": "is not set",
  "IS NOT NULL": "is set",
};
const UNITS: Readonly<Record<string, string>> = { m: "minute", h: "hour", d: "day", w: "week" };
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A condition in words: "Status is Failed or Canceled". */
export function wordsOf({ entity, key, comparator, values }: Clause): string {
  const field = FIELDS.find((one) => one.key === key && one.entity === entity);
  const subject = entity === "attribute" ? (field?.title ?? key.replace(/_/g, " ")) : key;
  const value = values[0] ?? "";
  if (entity === "attribute" && TIMES.has(key)) return `${capital(key)} ${timeWords(comparator, value)}`;
  const contained = comparator === "ILIKE" ? /^%([^%_]*)%$/.exec(value) : null;
  if (contained) return `${subject} contains ${contained[1]}`;
  const isText = entity !== "metric";
  const said = isText ? (COMPARED[comparator] ?? comparator) : comparator;
  return `${subject} ${said} ${values.map((one) => one || "empty").join(" or ")}`.trim();
}

function timeWords(comparator: string, value: string): string {
  const ago = /^-(\d+)([mhdw])$/.exec(value);
  const isSince = comparator.startsWith(">");
  if (ago && agoMs(value) !== undefined) {
    const unit = UNITS[ago[2] ?? ""] ?? "";
    const length = ago[1] === "1" ? unit : `${ago[1]} ${unit}s`;
    return isSince ? `in the last ${length}` : `more than ${ago[1]} ${unit}${ago[1] === "1" ? "" : "s"} ago`;
  }
  return `${isSince ? "since" : "before"} ${WHEN.format(new Date(Number(value)))}`;
}

function capital(text: string): string {
  return text[0]?.toUpperCase() + text.slice(1);
}

/** Whole conditions to choose from while one types. */
export function suggestions(names: {
  readonly metrics: readonly string[];
  readonly params: Readonly<Record<string, readonly string[]>>;
  readonly tags: Readonly<Record<string, readonly string[]>>;
  readonly users: readonly string[];
}): string[] {
  const quote = (name: string) => (/^[A-Za-z_]\w*$/.test(name) ? name : `\`${name}\``);
  const labels = (kind: string, all: Readonly<Record<string, readonly string[]>>) =>
    Object.entries(all).flatMap(([key, values]) => values.slice(0, 8).map((value) => `${kind}.${quote(key)} = '${value}'`));
  return [
    "status = 'Running'",
    "status = 'Failed'",
    "status IN ('Failed', 'NotResponding')",
    "created > -24h",
    "created > -7d",
    "duration > 3600000",
    ...names.users.map((user) => `user = '${user}'`),
    ...names.metrics.slice(0, 100).map((name) => `metrics.${quote(name)} < `),
    ...labels("params", names.params),
    ...labels("tags", names.tags),
  ];
}

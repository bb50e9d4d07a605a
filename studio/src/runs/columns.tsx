// The columns of the table of runs: facts of a run, its parameters and tags, and values of its metrics. Each has an id, which stands in
// the address: status, p.lr, t.team, m.loss.min.

import type { MetricColumn, MetricValue } from "../api/table";
import { number } from "../format";
import { Link } from "../parts/link";
import { Status } from "../parts/status";
import type { Column, ColumnLayout, Sort } from "../parts/table_model";
import { Duration, Moment } from "../parts/time";
import { address } from "../router";
import { printClause } from "./filter";
import type { ShownRun } from "./source";

export const METRIC_VALUES: readonly MetricValue[] = ["last", "min", "max", "first", "mean"];

interface Fact {
  readonly title: string;
  readonly width: number;
  /** What it is called in orders; none: the table cannot be sorted by it. */
  readonly order?: string;
  readonly isNumeric?: boolean;
  readonly cell: Column<ShownRun>["cell"];
}

const text = (value: string) => value || <span class="soft">–</span>;

export const FACTS: Readonly<Record<string, Fact>> = {
  name: { title: "Name", width: 280, order: "name", cell: (row) => <Name row={row} /> },
  status: { title: "Status", width: 150, order: "status", cell: ({ run }) => <Status status={run.status} /> },
  experiment: {
    title: "Experiment",
    width: 180,
    order: "experiment",
    cell: ({ run }) => <Link to={address("experiments", run.experiment)}>{run.experiment}</Link>,
  },
  user: { title: "User", width: 110, order: "user", cell: ({ run }) => text(run.user) },
  created: { title: "Created", width: 130, order: "created", cell: ({ run }) => <Moment ns={run.created_ns} /> },
  started: { title: "Started", width: 130, order: "started", cell: ({ run }) => <Moment ns={run.started_ns} /> },
  ended: { title: "Ended", width: 130, order: "ended", cell: ({ run }) => <Moment ns={run.ended_ns} /> },
  duration: {
    title: "Duration",
    width: 110,
    order: "duration",
    isNumeric: true,
    cell: ({ run }) => <Duration from={run.started_ns} to={run.ended_ns} />,
  },
  cluster: { title: "Cluster", width: 130, order: "cluster", cell: ({ run }) => text(run.cluster) },
  hostname: { title: "Host", width: 130, order: "hostname", cell: ({ run }) => text(run.hostname) },
  nodes: { title: "Nodes", width: 80, order: "node_count", isNumeric: true, cell: ({ run }) => number(run.node_count) },
  processes: { title: "Processes", width: 100, order: "process_count", isNumeric: true, cell: ({ run }) => number(run.world_size) },
  number: { title: "Number", width: 90, order: "number", isNumeric: true, cell: ({ run }) => number(run.number) },
  kind: { title: "Kind", width: 100, order: "kind", cell: ({ run }) => text(run.kind) },
  best: {
    title: "Best child",
    width: 110,
    isNumeric: true,
    cell: ({ run }) => (run.best_run_id ? <Link to={address("runs", run.best_run_id)}>{number(run.best_value)}</Link> : text("")),
  },
  cause: { title: "Cause", width: 260, cell: ({ run }) => <span title={run.cause}>{text(run.cause)}</span> },
  run_id: { title: "Run id", width: 220, order: "run_id", cell: ({ run }) => <code>{run.run_id}</code> },
};

function Name({ row: { run, isBest } }: { row: ShownRun }) {
  const name = run.name || run.run_id;
  return (
    <>
      <Link to={address("runs", run.run_id)} title={name}>
        {name}
      </Link>
      {isBest && <span class="badge">best</span>}
      {run.child_count > 0 && <span class="soft count">{run.child_count}</span>}
      {run.deleted_ms !== null && <span class="badge off">archived</span>}
    </>
  );
}

/** What a column is about, from its id. */
export type Subject =
  | { readonly kind: "fact"; readonly id: string }
  | { readonly kind: "param" | "tag"; readonly name: string }
  | { readonly kind: "metric"; readonly name: string; readonly value: MetricValue };

/** undefined: there is no such column. */
export function subjectOf(id: string): Subject | undefined {
  if (id in FACTS) return { kind: "fact", id };
  if (id.startsWith("p.")) return { kind: "param", name: id.slice(2) };
  if (id.startsWith("t.")) return { kind: "tag", name: id.slice(2) };
  const found = /^m\.(.+)\.(last|min|max|first|mean)$/s.exec(id);
  return found?.[1] ? { kind: "metric", name: found[1], value: found[2] as MetricValue } : undefined;
}

export function titleOf(id: string): string {
  const subject = subjectOf(id);
  if (!subject) return id;
  if (subject.kind === "fact") return FACTS[id]?.title ?? id;
  return subject.kind === "metric" && subject.value !== "last" ? `${subject.name} ${subject.value}` : subject.name;
}

const HINTS = { fact: "", param: "Parameter", tag: "Tag", metric: "Metric" };

/** The table's columns for a layout. */
export function columnsOf(layout: readonly ColumnLayout[]): Column<ShownRun>[] {
  const metrics = metricsOf(layout);
  return layout.flatMap(({ id, width }, place): Column<ShownRun>[] => {
    const subject = subjectOf(id);
    if (!subject) return [];
    const common = { id, width, title: titleOf(id), isFixed: place === 0 && id === "name", isSortable: true };
    if (subject.kind === "fact") {
      const fact = FACTS[id];
      return fact ? [{ ...common, isSortable: fact.order !== undefined, isNumeric: Boolean(fact.isNumeric), cell: fact.cell }] : [];
    }
    const hint = `${HINTS[subject.kind]} ${subject.name}${subject.kind === "metric" ? `, ${subject.value} value` : ""}`;
    if (subject.kind !== "metric") {
      const from = subject.kind === "param" ? ("params" as const) : ("tags" as const);
      const cell = ({ run }: ShownRun) => <span title={run[from][subject.name]}>{text(run[from][subject.name] ?? "")}</span>;
      return [{ ...common, hint, cell }];
    }
    const at = metrics.findIndex((one) => one.name === subject.name && one.value === subject.value);
    return [{ ...common, hint, isNumeric: true, cell: ({ run }: ShownRun) => <Figure value={run.metrics[at]} /> }];
  });
}

function Figure({ value }: { value: number | string | boolean | null | undefined }) {
  if (value === null || value === undefined) return <span class="soft">–</span>;
  return <span title={String(value)}>{number(value)}</span>;
}

export function metricsOf(layout: readonly ColumnLayout[]): MetricColumn[] {
  return layout.flatMap(({ id }) => {
    const subject = subjectOf(id);
    return subject?.kind === "metric" ? [{ name: subject.name, value: subject.value }] : [];
  });
}

export function namesOf(layout: readonly ColumnLayout[], kind: "param" | "tag"): string[] {
  return layout.flatMap(({ id }) => {
    const subject = subjectOf(id);
    return subject?.kind === kind ? [subject.name] : [];
  });
}

/** A sorting as the collector takes it; undefined where there is no such column. */
export function orderOf(sort: Sort): string | undefined {
  const direction = sort.isAscending ? "ASC" : "DESC";
  const subject = subjectOf(sort.column);
  if (!subject) return undefined;
  if (subject.kind === "fact") {
    const order = FACTS[subject.id]?.order;
    return order && `${order} ${direction}`;
  }
  const named = printClause({ entity: subject.kind, key: subject.name, comparator: "IS NULL", values: [] });
  return `${named.slice(0, -" IS NULL".length)} ${direction}`;
}

export function widthOf(id: string): number {
  return FACTS[id]?.width ?? 120;
}

/** Columns as they stand in the address: ids with their widths where these are others than at first. */
export function printLayout(layout: readonly ColumnLayout[]): string {
  return layout.map(({ id, width }) => id.replace(/[!,~]/g, escaped) + (width === widthOf(id) ? "" : `~${width}`)).join(",");
}

export function parseLayout(printed: string): ColumnLayout[] {
  const found = printed.split(",").map((one) => {
    const [name = "", width] = one.split("~");
    const id = name.replace(/![0-2]/g, (code) => "!,~"[Number(code[1])] ?? "");
    const wanted = Number(width);
    return { id, width: wanted >= 48 && wanted <= 1200 ? wanted : widthOf(id) };
  });
  const known = found.filter(({ id }, place) => subjectOf(id) && found.findIndex((one) => one.id === id) === place);
  return known.some(({ id }) => id === "name") ? known : [{ id: "name", width: widthOf("name") }, ...known];
}

function escaped(character: string): string {
  return `!${"!,~".indexOf(character)}`;
}

export function parseSort(printed: string): Sort | undefined {
  if (!printed) return undefined;
  const isAscending = !printed.startsWith("-");
  return { column: isAscending ? printed : printed.slice(1), isAscending };
}

export function printSort({ column, isAscending }: Sort): string {
  return (isAscending ? "" : "-") + column;
}

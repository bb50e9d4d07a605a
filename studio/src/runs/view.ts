// How somebody looks at the table: filter, columns and sorting. All of it stands in the address; columns that somebody has chosen and
// views that were given a name are kept in this browser, which keeps them for this collector alone.

import type { KnownNames, TableQuery } from "../api/table";
import type { ColumnLayout, Sort } from "../parts/table_model";
import { metricsOf, namesOf, orderOf, parseLayout, parseSort, printLayout, printSort, subjectOf, widthOf } from "./columns";
import { type Clause, forCollector, parseFilter, printFilter } from "./filter";

export interface View {
  readonly clauses: readonly Clause[];
  /** Why the filter in the address is none; then there are no clauses. */
  readonly fault: string;
  readonly layout: readonly ColumnLayout[];
  readonly sort: Sort;
  readonly hasArchived: boolean;
}

export const NEWEST: Sort = { column: "created", isAscending: false };
const ALL_RUNS = ["name", "status", "experiment", "user", "cluster", "created", "duration"];
const OF_EXPERIMENT = ["name", "status", "user", "created", "duration"];
const FIRST_PARAMS = 4;
const FIRST_METRICS = 3;
const LAYOUT_KEY = "runyard.columns";
const VIEWS_KEY = "runyard.views";

/** The view that the address tells; `experiment`: of its runs alone. */
export function viewOf(query: URLSearchParams, experiment: string | undefined, names: KnownNames | undefined): View {
  const printed = layoutIn(query, experiment);
  const { clauses, fault } = clausesOf(query.get("filter") ?? "");
  return {
    clauses,
    fault,
    layout: printed ? parseLayout(printed) : firstLayout(experiment, names),
    sort: knownSort(query.get("sort") ?? "") ?? NEWEST,
    hasArchived: query.get("archived") === "1",
  };
}

function layoutIn(query: URLSearchParams, experiment: string | undefined): string | null {
  return query.get("columns") ?? localStorage.getItem(layoutKey(experiment));
}

/** Whether somebody has chosen columns, here or in the address. */
export function hasLayout(query: URLSearchParams, experiment: string | undefined): boolean {
  return Boolean(layoutIn(query, experiment));
}

function clausesOf(text: string): { clauses: readonly Clause[]; fault: string } {
  try {
    return { clauses: parseFilter(text), fault: "" };
  } catch (failure) {
    return { clauses: [], fault: failure instanceof Error ? failure.message : String(failure) };
  }
}

function knownSort(printed: string): Sort | undefined {
  const sort = parseSort(printed);
  return sort && orderOf(sort) ? sort : undefined;
}

/** What is shown before anybody has chosen: of an experiment, also its first parameters and metrics. */
function firstLayout(experiment: string | undefined, names: KnownNames | undefined): ColumnLayout[] {
  const params = Object.keys(names?.params ?? {}).slice(0, FIRST_PARAMS);
  const metrics = (names?.metrics ?? []).slice(0, FIRST_METRICS);
  const ids =
    experiment === undefined ? ALL_RUNS : [...OF_EXPERIMENT, ...params.map((name) => `p.${name}`), ...metrics.map((name) => `m.${name}.last`)];
  return ids.map((id) => ({ id, width: widthOf(id) }));
}

/** A change of the view as a change of the address. */
export function changes(to: Partial<Omit<View, "fault">>): Record<string, string | null> {
  const found: Record<string, string | null> = {};
  if (to.clauses) found["filter"] = printFilter(to.clauses);
  if (to.layout) found["columns"] = printLayout(to.layout);
  if (to.sort) found["sort"] = printSort(to.sort) === printSort(NEWEST) ? null : printSort(to.sort);
  if (to.hasArchived !== undefined) found["archived"] = to.hasArchived ? "1" : null;
  return found;
}

/** Columns that somebody has chosen come again with the next visit. */
export function keepLayout(experiment: string | undefined, layout: readonly ColumnLayout[]): void {
  localStorage.setItem(layoutKey(experiment), printLayout(layout));
}

export function forgetLayout(experiment: string | undefined): void {
  localStorage.removeItem(layoutKey(experiment));
}

function layoutKey(experiment: string | undefined): string {
  return experiment === undefined ? LAYOUT_KEY : `${LAYOUT_KEY}.${experiment}`;
}

/** What the collector is asked for. The metric that is sorted by comes first: its column says which of its values is meant. */
export function queryOf({ clauses, layout, sort, hasArchived }: View, experiment: string | undefined): TableQuery {
  const order = orderOf(sort);
  const sorted = subjectOf(sort.column);
  const metrics = metricsOf(layout);
  const hidden = sorted?.kind === "metric" && !metrics.some((one) => one.name === sorted.name && one.value === sorted.value);
  return {
    filter: forCollector(clauses, Date.now()),
    order_by: order ? [order] : [],
    metrics: hidden ? [...metrics, { name: sorted.name, value: sorted.value }] : metrics,
    params: namesOf(layout, "param"),
    tags: namesOf(layout, "tag"),
    include_deleted: hasArchived,
    ...(experiment === undefined ? {} : { experiment }),
  };
}

export interface SavedView {
  readonly name: string;
  /** Of which experiment's runs; none: of all runs. */
  readonly experiment: string | null;
  /** What stands behind the ? of the address. */
  readonly query: string;
}

export function savedViews(): SavedView[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(VIEWS_KEY) ?? "[]");
    return Array.isArray(found) ? found.filter(isView) : [];
  } catch {
    return [];
  }
}

function isView(value: unknown): value is SavedView {
  const view = value as Partial<SavedView> | null;
  return typeof view?.name === "string" && typeof view.query === "string" && (view.experiment === null || typeof view.experiment === "string");
}

/** Kept under its name, in place of one of that name. */
export function saveView(view: SavedView): void {
  keepViews([...savedViews().filter((one) => !isSame(one, view)), view]);
}

export function removeView(view: SavedView): void {
  keepViews(savedViews().filter((one) => !isSame(one, view)));
}

function isSame(one: SavedView, other: SavedView): boolean {
  return one.name === other.name && one.experiment === other.experiment;
}

function keepViews(views: readonly SavedView[]): void {
  localStorage.setItem(VIEWS_KEY, JSON.stringify(views));
}


// The documents of typed metrics, read from files that may hold anything, and the curves made of them. Pure.

export interface Confusion {
  readonly labels: readonly string[];
  readonly matrix: readonly (readonly number[])[];
}

export interface Bins {
  readonly edges: readonly number[];
  readonly counts: readonly number[];
}

export interface Predictions extends Bins {
  readonly averages: readonly (number | null)[];
  readonly errors: readonly (number | null)[];
}

/** [TP, FP, TN, FN] at each threshold. */
export type Counts = readonly [number, number, number, number];

export interface Accuracy {
  readonly labels: readonly string[];
  readonly tables: readonly (readonly Counts[])[];
}

export type Point = readonly [x: number, y: number];
export type Normalised = "none" | "true" | "predicted" | "all";

type Data = Readonly<Record<string, unknown>>;

/** What stands under "data" of a document. Throws where it is no such document. */
export function dataOf(document: unknown): Data {
  const data = typeof document === "object" && document !== null ? (document as Data)["data"] : undefined;
  if (typeof data !== "object" || data === null) throw new Error("The file holds no such metric.");
  return data as Data;
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const numbers = (value: unknown) => list(value).map((one) => number(one) ?? 0);

export function confusionOf(data: Data): Confusion {
  const labels = list(data["class_labels"]).map(String);
  const rows = list(data["matrix"]).map(numbers);
  return { labels, matrix: labels.map((_, row) => labels.map((__, column) => rows[row]?.[column] ?? 0)) };
}

export function accuracyOf(data: Data): Accuracy {
  const tables = list(data["probability_tables"]).map((table) => list(table).map((row) => numbers(row).slice(0, 4) as unknown as Counts));
  return { labels: list(data["class_labels"]).map(String), tables };
}

export function binsOf(data: Data): Bins {
  const counts = numbers(data["bin_counts"]);
  return { counts, edges: edgesOf(numbers(data["bin_edges"]), counts.length) };
}

export function predictionsOf(data: Data): Predictions {
  return { ...binsOf(data), averages: list(data["bin_averages"]).map(number), errors: list(data["bin_errors"]).map(number) };
}

/** One more edge than bins: where the last is missing, it is as far on as the one before. */
function edgesOf(edges: readonly number[], bins: number): readonly number[] {
  if (edges.length > bins || !edges.length) return edges;
  const width = edges.length > 1 ? edges[edges.length - 1]! - edges[edges.length - 2]! : 1;
  return [...edges, edges[edges.length - 1]! + width];
}

/** Each count as it is, or as a part of its row (the true class), its column (the predicted one), or all. */
export function normalised({ matrix }: Confusion, by: Normalised): number[][] {
  if (by === "none") return matrix.map((row) => [...row]);
  const rows = matrix.map((row) => sum(row));
  const columns = matrix.map((_, column) => sum(matrix.map((row) => row[column]!)));
  const all = sum(rows);
  return matrix.map((row, r) => row.map((count, c) => count / ((by === "true" ? rows[r]! : by === "predicted" ? columns[c]! : all) || 1)));
}

/** False positive rate against true positive rate, from (0, 0) to (1, 1). */
export function rocOf(table: readonly Counts[]): Point[] {
  const points = table.map(([tp, fp, tn, fn]): Point => [fp / (fp + tn || 1), tp / (tp + fn || 1)]);
  return [[0, 0] as const, ...points, [1, 1] as const].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
}

/** Recall against precision; where nothing is called positive there is no precision. */
export function precisionRecallOf(table: readonly Counts[]): Point[] {
  const points = table.filter(([tp, fp]) => tp + fp > 0).map(([tp, fp, , fn]): Point => [tp / (tp + fn || 1), tp / (tp + fp)]);
  points.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  // Below the least recall that was measured, precision is taken to be as it was there.
  return points.length ? [[0, points[0]![1]] as const, ...points] : [];
}

/** The area below a curve. */
export function areaBelow(points: readonly Point[]): number {
  let area = 0;
  for (let at = 1; at < points.length; at++) area += ((points[at]![0] - points[at - 1]![0]) * (points[at]![1] + points[at - 1]![1])) / 2;
  return area;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

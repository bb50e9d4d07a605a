// Where the keys lead in a table: cells by their row (-1: the head) and column. Pure.

export interface Spot {
  readonly row: number;
  readonly column: number;
}

export interface Extent {
  readonly rows: number;
  readonly columns: number;
  /** Rows that are seen at once. */
  readonly page: number;
}

export const HEAD_ROW = -1;

const STEPS: Record<string, (spot: Spot, extent: Extent) => Spot> = {
  ArrowUp: ({ row, column }) => ({ row: row - 1, column }),
  ArrowDown: ({ row, column }) => ({ row: row + 1, column }),
  ArrowLeft: ({ row, column }) => ({ row, column: column - 1 }),
  ArrowRight: ({ row, column }) => ({ row, column: column + 1 }),
  PageUp: ({ row, column }, { page }) => ({ row: Math.max(Math.min(row, 0), row - page), column }),
  PageDown: ({ row, column }, { page }) => ({ row: row + page, column }),
  Home: ({ row }) => ({ row, column: 0 }),
  End: ({ row }, { columns }) => ({ row, column: columns - 1 }),
};
const FAR: Record<string, (spot: Spot, extent: Extent) => Spot> = {
  Home: () => ({ row: 0, column: 0 }),
  End: (_, { rows, columns }) => ({ row: rows - 1, column: columns - 1 }),
};

/** The cell that a key leads to; undefined where it leads nowhere. */
export function moved(spot: Spot, key: string, isFar: boolean, extent: Extent): Spot | undefined {
  const step = isFar ? FAR[key] : STEPS[key];
  if (!step) return undefined;
  const { row, column } = step(spot, extent);
  return { row: clamp(row, HEAD_ROW, extent.rows - 1), column: clamp(column, 0, extent.columns - 1) };
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}

/** The list with one entry moved to where another one is. */
export function reordered<T>(list: readonly T[], from: number, to: number): T[] {
  const after = [...list];
  const [one] = after.splice(from, 1);
  if (one !== undefined) after.splice(to, 0, one);
  return after;
}

/** The id of a cell in the page. */
export function cellId(table: string, { row, column }: Spot): string {
  return `${table}-${row}-${column}`;
}

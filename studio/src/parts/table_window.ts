// Which rows of a table are in the page, by where it is scrolled to. All rows have the same height, so nothing is measured.

import { useEffect, useLayoutEffect, useMemo, useState } from "preact/hooks";

export const ROW_PX = 32;
/** So many rows beside those that are seen are in the page, too. */
export const OVERSCAN = 8;

/** Rows of a table of any length that the box has room for: from `first`, `count` of them. */
interface Room {
  readonly first: number;
  readonly count: number;
}

export interface VirtualRows {
  /** The rows that are seen, and some around them. */
  readonly seen: readonly number[];
  /** The row's place in the page. A row that comes into sight takes the place, and the elements, of one that has left. */
  readonly slotOf: (row: number) => number;
}

export function useVirtualRows(box: { readonly current: HTMLDivElement | null }, count: number): VirtualRows {
  const [room, setRoom] = useState<Room>({ first: 0, count: 0 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    let height = element.clientHeight;
    const look = () => {
      const next = { first: Math.floor(element.scrollTop / ROW_PX), count: Math.ceil(height / ROW_PX) + 1 };
      setRoom((before) => (before.first === next.first && before.count === next.count ? before : next));
    };
    const watcher = new ResizeObserver(() => {
      height = element.clientHeight;
      look();
    });
    look();
    watcher.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      watcher.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  return useMemo(() => rowsIn(room, count), [room, count]);
}

/** Pure. */
export function rowsIn(room: Room, count: number): VirtualRows {
  const first = Math.max(0, Math.min(room.first, count - room.count)); // there may have been more rows a moment ago
  const [start, end] = room.count ? [Math.max(0, first - OVERSCAN), Math.min(count, first + room.count + OVERSCAN)] : [0, 0];
  const slots = room.count + 2 * OVERSCAN;
  return { seen: Array.from({ length: Math.max(0, end - start) }, (_, at) => start + at), slotOf: (row) => row % slots };
}

/** Tells which rows [start, end) are looked at. */
export function useLooking(seen: readonly number[], onLook: ((start: number, end: number) => void) | undefined): void {
  const [start, end] = [seen[0] ?? 0, (seen.at(-1) ?? -1) + 1];
  useEffect(() => onLook?.(start, end), [start, end, onLook]);
}

/** Scrolls along with rows that have moved. */
export function useShift(box: { readonly current: HTMLDivElement | null }, shift: { readonly by: number } | undefined): void {
  useLayoutEffect(() => {
    if (box.current && shift?.by) box.current.scrollTop += shift.by * ROW_PX;
  }, [shift]);
}

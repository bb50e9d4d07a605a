// Which rows of a table are in the page, by where it is scrolled to.

import { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useReducer, useState } from "preact/hooks";

export const ROW_PX = 32;

/** The rows that are seen, and some around them. */
export function useVirtualRows(box: { readonly current: HTMLDivElement | null }, count: number): readonly number[] {
  const [, again] = useReducer((times: number, _: null) => times + 1, 0);
  const options = {
    count,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 8,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => again(null),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLDivElement, HTMLDivElement>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => virtualizer._willUpdate());
  return virtualizer.getVirtualItems().map((item) => item.index);
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

// The life of one drawing by uPlot: made anew where its shape changes, given the data whenever that does.

import type { Signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Cursor } from "./cursors";
import type { Range } from "./lines";
import { dataOf, optionsOf, seriesKeys, signature, type Handlers } from "./plot";
import type { Shape, View } from "./shape";

export type PlotRef = { current: uPlot | null };
export type SetZoom = (range: Range | null) => void;

interface Wanted {
  readonly place: { readonly current: HTMLDivElement | null };
  readonly shape: Shape;
  readonly view: View;
  readonly height: number;
  readonly cursor: Signal<Cursor>;
  readonly setZoom: SetZoom;
  /** Changes where the element has become another. */
  readonly isTable: boolean;
}

export function usePlot({ place, shape, view, height, cursor, setZoom, isTable }: Wanted): PlotRef {
  const plot = useRef<uPlot | null>(null);
  const now = useRef({ view, setZoom });
  now.current = { view, setZoom };
  const made = useMemo(() => signature(view.aligned, view.lines), [view.aligned, view.lines]);
  useLayoutEffect(() => {
    if (!place.current) return;
    const self = {};
    const handlers: Handlers = {
      view: () => now.current.view,
      onCursor: (x) => {
        if (x !== null || cursor.peek().by === self) cursor.value = { x, by: x === null ? null : self };
      },
      onSelect: (range) => now.current.setZoom(range),
      onReset: () => now.current.setZoom(null),
    };
    const drawn = draw(place.current, shape, height, handlers);
    plot.current = drawn;
    const unfollow = cursor.subscribe(({ x, by }) => {
      if (by !== self) follow(drawn, x);
    });
    const unwatch = fitted(drawn, place.current, height);
    return () => {
      unwatch();
      unfollow();
      drawn.destroy();
      plot.current = null;
    };
  }, [made, ...Object.values(shape), height, cursor, isTable]);
  useEffect(() => {
    if (plot.current) show(plot.current, view);
  }, [view]);
  return plot;
}

function draw(element: HTMLElement, shape: Shape, height: number, handlers: Handlers): uPlot {
  const size = { width: element.clientWidth || 300, height };
  return new uPlot(optionsOf(shape, size, handlers, element), dataOf(handlers.view().aligned), element);
}

/** Keeps the drawing as wide as its element; returns how to end that. */
function fitted(drawn: uPlot, element: HTMLElement, height: number): () => void {
  const observer = new ResizeObserver(() => {
    if (element.clientWidth && element.clientWidth !== drawn.width) drawn.setSize({ width: element.clientWidth, height });
  });
  observer.observe(element);
  return () => observer.disconnect();
}

function follow(drawn: uPlot, x: number | null): void {
  const left = x === null ? -10 : drawn.valToPos(x, "x");
  const isInside = left >= 0 && left <= drawn.over.clientWidth;
  drawn.setCursor(isInside ? { left, top: 0 } : { left: -10, top: -10 }, false);
}

function show(drawn: uPlot, view: View): void {
  drawn.batch(() => {
    seriesKeys(view).forEach((key, place) => {
      const isShown = !view.hidden.has(key);
      const series = drawn.series[place + 1];
      if (series && series.show !== isShown) drawn.setSeries(place + 1, { show: isShown }, false);
    });
    drawn.setData(dataOf(view.aligned), true);
  });
}

/** Lets the other lines step back behind the one with this key. */
export function focusOn(drawn: uPlot | null, view: View, key: string | null): void {
  drawn?.setSeries(key === null ? null : seriesKeys(view).lastIndexOf(key) + 1, { focus: true }, false);
}

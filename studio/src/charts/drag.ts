// Dragging a chart by its handle onto another one, with a mouse, a pen or a finger.

import { useRef } from "preact/hooks";

const FAR = 5; // pixels: less is a click

export function useDrag(onDrop: (target: string) => void) {
  const from = useRef<{ x: number; y: number } | null>(null);
  const over = useRef<Element | null>(null);
  function mark(element: Element | null): void {
    over.current?.classList.remove("over");
    over.current = element;
    element?.classList.add("over");
  }
  return {
    onPointerDown: (event: PointerEvent) => {
      from.current = { x: event.clientX, y: event.clientY };
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
    },
    onPointerMove: (event: PointerEvent) => {
      const begun = from.current;
      if (!begun || Math.hypot(event.clientX - begun.x, event.clientY - begun.y) < FAR) return;
      mark(document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-chart]") ?? null);
    },
    onPointerUp: () => {
      const target = over.current?.getAttribute("data-chart");
      from.current = null;
      mark(null);
      if (target) onDrop(target);
    },
    onPointerCancel: () => {
      from.current = null;
      mark(null);
    },
  };
}

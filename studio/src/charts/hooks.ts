// What charts need of the page: whether they are seen, how wide they are, and data that stays while other is asked for.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useLive, type Live } from "../live";

/** As useLive, but what was there stays until what is asked for now has come, whatever was asked for before. */
export function useSteady<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs = 0): Live<T> & { readonly isStale: boolean } {
  const live = useLive(key, load, everyMs);
  const last = useRef<T | undefined>(undefined);
  if (live.data !== undefined) last.current = live.data;
  return { ...live, data: live.data ?? last.current, isStale: live.data === undefined };
}

const NEAR_PX = 300;

/** Whether an element has come near the part of the page that is looked at, and its width, 0 before it is known. */
export function useSeen<E extends HTMLElement>(): { place: { current: E | null }; isSeen: boolean; width: number } {
  const place = useRef<E | null>(null);
  const [isSeen, setSeen] = useState(false);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return;
    // Data for another width is asked for only where it differs much.
    const size = () => setWidth(Math.ceil(element.clientWidth / 100) * 100);
    const seen = new IntersectionObserver((entries) => setSeen(entries[entries.length - 1]!.isIntersecting), { rootMargin: `${NEAR_PX}px` });
    const sized = new ResizeObserver(size);
    // The observers tell it after the next frame: what is there at once need not wait for that.
    const { top, bottom } = element.getBoundingClientRect();
    setSeen(bottom >= -NEAR_PX && top <= innerHeight + NEAR_PX);
    size();
    seen.observe(element);
    sized.observe(element);
    return () => {
      seen.disconnect();
      sized.disconnect();
    };
  }, []);
  return { place, isSeen, width };
}

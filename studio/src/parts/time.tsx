import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import { msOf, span } from "../format";

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const SHORT = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

/** A moment in the reader's zone, the exact one on hover. */
export function Moment({ ns }: { ns: number | null | undefined }) {
  if (!ns) return <span class="soft">–</span>;
  const date = new Date(msOf(ns));
  return (
    <time dateTime={date.toISOString()} title={EXACT.format(date)}>
      {SHORT.format(date)}
    </time>
  );
}

/** The moment (Unix milliseconds) up to which is known how it is; null: now. */
export const KnownUntil = createContext<number | null>(null);

/** How long something took, or takes up to now where it has not ended. */
export function Duration({ from, to }: { from: number | null | undefined; to: number | null | undefined }) {
  const until = useContext(KnownUntil);
  const [now, setNow] = useState(Date.now());
  const isOpen = Boolean(from && !to) && until === null;
  useEffect(() => {
    if (!isOpen) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isOpen]);
  if (!from) return <span class="soft">–</span>;
  return <span class="figure">{span((to ? msOf(to) : (until ?? now)) - msOf(from))}</span>;
}

// Whether the kernel is there. It says so every few seconds (BEAT_S in runyard/widgets/feed.py) for as long as the run goes on, and answers
// whatever a person asks of it; how long ago that was, this page's own clock tells.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Kernel } from "./model";

const BEATS_MS = 16_000;
// More than the kernel waits for a collector that is away before it says so (TIMEOUT_S).
const ANSWER_MS = 8000;
const LOOK_MS = 1000;

export interface Silence {
  readonly isSilent: boolean;
  /** What is known of the kernel. */
  readonly why: string;
}

const HEARD: Silence = { isSilent: false, why: "" };
const NOT_RUNNING: Silence = { isSilent: true, why: "The notebook's kernel does not run." };

export function useSilence(kernel: Kernel): Silence {
  const [openedMs] = useState(() => performance.now());
  const [nowMs, setNowMs] = useState(openedMs);
  const beat = kernel.beat.value;
  const heardMs = kernel.heardMs.value;
  const askedMs = kernel.askedMs.value;
  const isLive = !(beat?.is_over ?? false);
  const isAwaited = isLive || askedMs !== null;
  useEffect(() => {
    if (!isAwaited) return;
    const timer = setInterval(() => setNowMs(performance.now()), LOOK_MS);
    return () => clearInterval(timer);
  }, [isAwaited]);
  if (askedMs !== null && nowMs - askedMs > ANSWER_MS) return unanswered(nowMs - askedMs);
  if (!isLive) return HEARD;
  if (heardMs !== null) return nowMs - heardMs > BEATS_MS ? unheard(nowMs - heardMs) : HEARD;
  // What a notebook has kept is old; clocks that differ a little do not make it so.
  const isOld = Math.abs(Date.now() - (beat?.at_ms ?? 0)) > 2 * BEATS_MS;
  return isOld || nowMs - openedMs > BEATS_MS ? NOT_RUNNING : HEARD;
}

function unanswered(ms: number): Silence {
  return { isSilent: true, why: `The notebook's kernel has not answered for ${seconds(ms)}: it has gone, or is too busy.` };
}

function unheard(ms: number): Silence {
  return { isSilent: true, why: `Nothing was heard from the notebook's kernel for ${seconds(ms)}: it has gone, or is too busy to tell.` };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

export function SilenceNote({ kernel, silence }: { kernel: Kernel; silence: Silence }): JSX.Element | null {
  if (!silence.isSilent) return null;
  const at = kernel.beat.value?.at_ms;
  const asOf = at ? `This is how the run was on ${new Date(at).toLocaleString()}.` : "";
  return (
    <p class="note warn" role="status">
      {silence.why} {asOf} Run the cell again to see how it is now, or open it in Studio; the run itself does not need the notebook.
    </p>
  );
}

// Whether the kernel is there. It says so every few seconds (BEAT_S in runyard/widgets/feed.py) for as long as the run goes on; how long
// ago that was, this page's own clock tells.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Kernel } from "./model";

const BEATS_MS = 16_000;
const LOOK_MS = 1000;

export interface Silence {
  readonly isSilent: boolean;
  /** For how long; null: it was not heard since the notebook was opened. */
  readonly forMs: number | null;
}

const HEARD: Silence = { isSilent: false, forMs: 0 };

export function useSilence(kernel: Kernel): Silence {
  const [openedMs] = useState(() => performance.now());
  const [nowMs, setNowMs] = useState(openedMs);
  const beat = kernel.beat.value;
  const heardMs = kernel.heardMs.value;
  const isLive = !(beat?.is_over ?? false);
  useEffect(() => {
    if (!isLive) return;
    const timer = setInterval(() => setNowMs(performance.now()), LOOK_MS);
    return () => clearInterval(timer);
  }, [isLive]);
  if (!isLive) return HEARD;
  if (heardMs !== null) return nowMs - heardMs > BEATS_MS ? { isSilent: true, forMs: nowMs - heardMs } : HEARD;
  // What a notebook has kept is old; clocks that differ a little do not make it so.
  const isOld = Math.abs(Date.now() - (beat?.at_ms ?? 0)) > 2 * BEATS_MS;
  return isOld || nowMs - openedMs > BEATS_MS ? { isSilent: true, forMs: null } : HEARD;
}

export function SilenceNote({ kernel, silence }: { kernel: Kernel; silence: Silence }): JSX.Element | null {
  if (!silence.isSilent) return null;
  const at = kernel.beat.value?.at_ms;
  const asOf = at ? `This is how the run was on ${new Date(at).toLocaleString()}.` : "";
  return (
    <p class="note warn" role="status">
      {silence.forMs === null
        ? `The notebook's kernel does not run. ${asOf} Run the cell again to see how it is now, or open it in Studio; the run itself does not need the notebook.`
        : `Nothing was heard from the notebook's kernel for ${Math.round(silence.forMs / 1000)} s: it has gone, or is too busy to tell. ${asOf} The run itself does not need it; Studio shows how it is now.`}
    </p>
  );
}

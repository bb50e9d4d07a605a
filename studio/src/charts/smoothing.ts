// Exponential smoothing, as training curves are read. Pure.

import type { Numbers } from "../parts/chart/lines";

/**
 * The moving average of the values: `weight` (0 to 1) of it stays at each. The first values count fully, so that it does not begin
 * at zero. Gaps stay gaps, and do not move it; where x runs backwards it begins anew.
 */
export function smoothed(ys: Numbers, xs: ArrayLike<number>, weight: number): (number | null)[] {
  const found: (number | null)[] = new Array(ys.length);
  let sum = 0;
  let counted = 0;
  for (let place = 0; place < ys.length; place++) {
    if (place && xs[place]! < xs[place - 1]!) sum = counted = 0;
    const y = ys[place] ?? null;
    if (y === null || !Number.isFinite(y)) {
      found[place] = y;
      continue;
    }
    sum = sum * weight + y * (1 - weight);
    counted = counted * weight + (1 - weight);
    found[place] = sum / counted;
  }
  return found;
}

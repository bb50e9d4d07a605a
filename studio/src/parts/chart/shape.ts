// What a chart looks like, and what of it is seen at the moment.

import type { Aligned, Line, Range } from "./lines";

export type XIs = "number" | "time" | "duration";

/** A stretch of x with a name, such as a phase of a run. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly label: string;
  /** What happened at `from`: a line that is seen, however short the stretch is. */
  readonly isMark?: boolean;
}

/** All that a drawing depends on but data and ranges; where it changes, the drawing is made anew. */
export interface Shape {
  readonly xIs: XIs;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
  readonly isDark: boolean;
  readonly xLabel: string;
  readonly yLabel: string;
}

/** What changes while a drawing lasts. */
export interface View {
  readonly x: Range;
  readonly y: Range;
  readonly lines: readonly Line[];
  readonly aligned: Aligned;
  readonly hidden: ReadonlySet<string>;
  readonly spans: readonly Span[];
}

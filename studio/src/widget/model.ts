// The notebook's model, as anywidget hands it over, as signals: one for each part that the kernel sends (runyard/widgets/feed.py).
// What the widget wants of the kernel goes back as messages. Nothing here asks the collector: the browser may not reach it.

import { type Signal, signal } from "@preact/signals";
import type { Metric } from "../charts/metrics";
import type { Sampled } from "../charts/series";
import type { RunInFull } from "../api/run";
import type { FileOfRun } from "../log/files";
import type { Trials } from "../run/trials";
import type { Decided } from "../run/verdict_view";

/** As anywidget's model is, as far as it is used here. */
export interface HostModel {
  readonly model_id?: string;
  get(name: string): unknown;
  on(event: string, callback: (...values: never[]) => void): void;
  off(event: string, callback: (...values: never[]) => void): void;
  send(content: unknown): void;
}

export interface Page {
  readonly run_id: string;
  /** The runs that one came from, the outermost first. */
  readonly trail: readonly string[];
  /** The collector's address. */
  readonly url: string;
  readonly summary: string;
}

export interface Beat {
  readonly at_ms: number;
  readonly trouble: string;
  /** Nothing more will come by itself. */
  readonly is_over: boolean;
}

export interface RunOfWidget extends RunInFull {
  readonly left_out: { readonly processes: number; readonly nodes: number };
}

/** The end of a log, as far as the kernel keeps it. */
export interface LogPart {
  readonly path: string;
  readonly generation: number;
  readonly start: number;
  readonly starts_line: boolean;
  readonly bytes: DataView;
  /** What the node has dropped of it, as [start, end) of the file's offsets; not among the bytes. A notebook may have kept a log without. */
  readonly gaps?: readonly (readonly [number, number])[];
  readonly is_ended: boolean;
}

export interface TrialsPart extends Trials {
  readonly is_cut: boolean;
}

export interface Parts {
  readonly page: Page;
  readonly beat: Beat;
  readonly run: RunOfWidget;
  readonly metrics: readonly Metric[];
  readonly series: Readonly<Record<string, Sampled>>;
  readonly files: readonly FileOfRun[];
  readonly log: LogPart;
  readonly trials: TrialsPart;
  readonly verdict: Decided;
}

/** What the kernel answers to "earlier". */
export interface Earlier {
  readonly kind: "earlier";
  readonly path: string;
  readonly before: number;
  readonly start: number;
  readonly why: string;
}

export type Wish =
  | { readonly kind: "here" | "gone" }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "earlier"; readonly path: string; readonly before: number }
  | { readonly kind: "chart"; readonly name: string }
  | { readonly kind: "open" | "back"; readonly run_id: string };

const NAMES = ["page", "beat", "run", "metrics", "series", "files", "log", "trials", "verdict"] as const;

/** A part is null as long as there is none: the kernel sends an empty one then. */
export class Kernel {
  readonly page = signal<Page | null>(null);
  readonly beat = signal<Beat | null>(null);
  readonly run = signal<RunOfWidget | null>(null);
  readonly metrics = signal<readonly Metric[] | null>(null);
  readonly series = signal<Readonly<Record<string, Sampled>> | null>(null);
  readonly files = signal<readonly FileOfRun[] | null>(null);
  readonly log = signal<LogPart | null>(null);
  readonly trials = signal<TrialsPart | null>(null);
  readonly verdict = signal<Decided | null>(null);
  /** When the kernel was last heard, by this page's own clock; null: not yet. */
  readonly heardMs = signal<number | null>(null);
  /** Since when something that a person has asked for is unanswered; null: nothing is. */
  readonly askedMs = signal<number | null>(null);
  private readonly ends: (() => void)[] = [];

  constructor(private readonly host: HostModel) {
    for (const name of NAMES) {
      this.take(name);
      this.listen(`change:${name}`, () => {
        this.hear();
        this.take(name);
      });
    }
  }

  send(wish: Wish): void {
    if (wish.kind !== "here" && wish.kind !== "gone") this.askedMs.value ??= performance.now();
    this.host.send(wish);
  }

  onEarlier(heard: (head: Earlier, bytes: Uint8Array) => void): () => void {
    return this.listen("msg:custom", (head: Earlier, buffers: readonly DataView[]) => {
      this.hear();
      if (head.kind === "earlier") heard(head, bytesOf(buffers[0]));
    });
  }

  close(): void {
    for (const end of this.ends) end();
  }

  private hear(): void {
    this.heardMs.value = performance.now();
    this.askedMs.value = null;
  }

  private take(name: (typeof NAMES)[number]): void {
    const value = this.host.get(name);
    (this[name] as Signal<unknown>).value = isEmpty(value) ? null : value;
  }

  private listen(event: string, heard: (...values: never[]) => void): () => void {
    this.host.on(event, heard);
    const end = () => this.host.off(event, heard);
    this.ends.push(end);
    return end;
  }
}

function isEmpty(value: unknown): boolean {
  return !value || typeof value !== "object" || !Object.keys(value).length;
}

/** What a notebook hands over as bytes is a view of a buffer, whatever kind of view. */
export function bytesOf(view: ArrayBufferView | undefined): Uint8Array {
  return view ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength) : new Uint8Array();
}

// The rows of one open file, in a window that one scrolls, and the bar beside it that leads anywhere in the file.

import type { JSX } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { bytes } from "../format";
import { ErrorNote } from "../parts/notes";
import { useFolding } from "./folding";
import type { Found } from "./found";
import type { LogModel } from "./model";
import { prepare } from "./prepared";
import type { Row } from "./rows";
import { RowView } from "./row_view";
import { elementOf, keepInPlace, topRow } from "./scrolling";
import { type Stamp, stampAt } from "./timeindex";

/** So near to an end of the window, more is read. */
const NEAR_PX = 900;
const AT_END_PX = 24;

export interface ViewOptions {
  readonly isWrapped: boolean;
  readonly isRaw: boolean;
  readonly hasTimes: boolean;
}

export interface ViewerProps {
  readonly model: LogModel;
  readonly isOverall: boolean;
  readonly options: ViewOptions;
  readonly target: number | null;
  readonly found: readonly Found[];
  readonly linkTo: (at: number) => string;
  readonly onLink: (at: number) => void;
}

export function Viewer(props: ViewerProps): JSX.Element {
  const { model, options, target } = props;
  const version = model.version.value;
  const stamps = model.stamps.value;
  const isFollowing = model.isFollowing.value;
  const place = useRef<HTMLDivElement>(null);
  const anchor = useRef<{ start: number; top: number } | null>(null);
  const shownTarget = useRef<number | null>(null);
  const goal = useRef<Goal | null>(null);
  /** Where the box was left when the target had been brought into sight: if that is its end, nobody has scrolled there. */
  const broughtTo = useRef(-1);
  const [isAbove, setIsAbove] = useState(0);
  const { rows } = model.window;

  const prepared = useMemo(() => rows.map((row) => prepare(row, props.isOverall)), [rows, props.isOverall]);
  const { traces, open, folded, toggleOpen, toggleFold } = useFolding(prepared);

  useLayoutEffect(() => {
    const box = place.current;
    if (!box) return;
    const wanted = goal.current && rowOf(rows, goal.current.at);
    if (isFollowing) box.scrollTop = box.scrollHeight;
    else if (goal.current && wanted) {
      bring(box, wanted.start, goal.current.share);
      goal.current = null;
    } else if (target !== null && shownTarget.current !== target && rowOf(rows, target)) {
      shownTarget.current = target;
      const start = rowOf(rows, target)?.start ?? -1;
      if (!isSeen(box, start)) bring(box, start, 0.5);
      broughtTo.current = box.scrollTop;
    } else if (anchor.current) keepInPlace(box, anchor.current);
    anchor.current = topRow(box);
    if (anchor.current) setIsAbove(anchor.current.start);
  }, [version, isFollowing, target, options.isWrapped, options.isRaw, options.hasTimes, folded, open]);

  useEffect(() => {
    if (target === null) shownTarget.current = null;
  }, [target]);

  const look = useCallback(() => {
    const box = place.current;
    if (!box) return;
    anchor.current = topRow(box);
    if (anchor.current) setIsAbove(anchor.current.start);
    const { window } = model;
    const below = box.scrollHeight - box.clientHeight - box.scrollTop;
    if (model.isFollowing.value) {
      if (below > AT_END_PX) model.isFollowing.value = false;
      return;
    }
    if (box.scrollTop !== broughtTo.current) broughtTo.current = -1;
    if (below <= AT_END_PX && window.isAtEnd && model.isLive.value && box.scrollTop > 0 && broughtTo.current < 0) model.isFollowing.value = true;
    if (window.isLoading || window.error) return;
    if (box.scrollTop < NEAR_PX && !window.isAtStart) void window.extendUp();
    else if (below < NEAR_PX && !window.isAtEnd) void window.extendDown();
  }, [model]);

  useEffect(() => look(), [version]);
  const hasRows = rows.length > 0;
  useLayoutEffect(() => {
    if (hasRows) performance.measure("log: first lines", "log: opened");
  }, [hasRows]);
  useEffect(() => {
    const box = place.current;
    if (!box) return;
    const watcher = new ResizeObserver(() => {
      if (model.isFollowing.value) box.scrollTop = box.scrollHeight;
    });
    watcher.observe(box);
    return () => watcher.disconnect();
  }, [model]);

  const numbers = numbersOf(rows, model.window.firstLine);
  const isWhole = model.window.isAtStart && model.window.isAtEnd;
  const found = useMemo(() => foundIn(rows, props.found), [rows, props.found]);

  return (
    <div class={`log ${options.isWrapped ? "wrapped" : ""} ${isWhole ? "whole" : ""}`}>
      <div
        class="rows"
        ref={place}
        tabIndex={0}
        role="region"
        aria-label="Lines of the file"
        onScroll={look}
        onKeyDown={(event) => onKey(event, model, goal)}
      >
        {model.window.error && !rows.length && <ErrorNote>{model.window.error.message}</ErrorNote>}
        {!rows.length && !model.window.error && version > 0 && <p class="soft">{model.isLive.value ? "Nothing has been written yet." : "This file is empty."}</p>}
        {prepared.map((one, at) => {
          const trace = traces[at];
          if (trace?.kind === "hidden") return null;
          const stamp = stampAt(stamps, one.row.start);
          const hit = found[at];
          return (
            <RowView
              key={one.row.start}
              prepared={one}
              number={numbers[at]}
              href={props.linkTo(one.row.start)}
              time={options.hasTimes ? timeOf(stamp) : "-"}
              exactTime={stamp?.ms ? new Date(stamp.ms).toISOString() : ""}
              isStderr={stamp?.source === "stderr"}
              isTarget={target !== null && one.row.start <= target && target < one.row.end}
              isRaw={options.isRaw}
              isOpen={open.has(one.row.start)}
              found={hit ?? ""}
              isFound={hit !== undefined}
              trace={trace?.kind ?? ""}
              traceTitle={trace?.title ?? ""}
              onOpen={toggleOpen}
              onFold={toggleFold}
              onLink={props.onLink}
            />
          );
        })}
      </div>
      <input
        class="position"
        type="range"
        aria-label="Position in the file"
        aria-valuetext={`${bytes(isAbove)} of ${bytes(model.window.size)}`}
        title={`${bytes(isAbove)} of ${bytes(model.window.size)}`}
        min={0}
        max={Math.max(1, model.window.size)}
        step={1}
        value={isFollowing ? model.window.size : isAbove}
        disabled={isWhole}
        onInput={(event) => goTo(model, Number(event.currentTarget.value), goal)}
      />
    </div>
  );
}

/** A byte that is to be brought into sight, at this share of the height, as soon as its row is there. */
interface Goal {
  readonly at: number;
  readonly share: number;
}

function goTo(model: LogModel, at: number, goal: { current: Goal | null }): void {
  model.isFollowing.value = false;
  const isEnd = at >= model.window.size - 1;
  goal.current = isEnd ? { at: model.window.size - 1, share: 1 } : { at, share: 0 };
  void (isEnd ? model.window.jumpToEnd() : model.window.jump(at));
}

function onKey(event: KeyboardEvent, model: LogModel, goal: { current: Goal | null }): void {
  if (event.altKey || event.metaKey || event.shiftKey || event.target !== event.currentTarget) return;
  if (event.key !== "End" && event.key !== "Home") return;
  event.preventDefault();
  if (event.key === "End" && model.isLive.value) model.follow();
  else goTo(model, event.key === "End" ? model.window.size : 0, goal);
}

function numbersOf(rows: readonly Row[], first: number | undefined): (number | undefined)[] {
  let number = first;
  return rows.map((row) => {
    const own = number;
    if (number !== undefined && row.endsLine) number += 1;
    return own;
  });
}

/** What was found in each row; "" in one where the words lie in another piece of the line. */
function foundIn(rows: readonly Row[], found: readonly Found[]): (string | undefined)[] {
  const places: (string | undefined)[] = [];
  let at = 0;
  const sorted = [...found].sort((a, b) => a.at - b.at);
  rows.forEach((row, number) => {
    while (at < sorted.length && (sorted[at]?.at ?? 0) < row.start) at += 1;
    const hit = sorted[at];
    if (hit && hit.at < row.end) places[number] = hit.match;
  });
  return places;
}

function timeOf(stamp: Stamp | undefined): string {
  if (!stamp?.ms) return "";
  const date = new Date(stamp.ms);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function rowOf(rows: readonly Row[], at: number): Row | undefined {
  return rows.find((row) => row.start <= at && at < row.end);
}

/** Scrolls so that a row stands at this share of the box's height; the page itself stays. */
function bring(box: HTMLElement, start: number, share: number): void {
  const element = elementOf(box, start);
  if (!element) return;
  const row = element.getBoundingClientRect();
  const outer = box.getBoundingClientRect();
  box.scrollTop += row.top - outer.top - share * (box.clientHeight - row.height);
}

function isSeen(box: HTMLElement, start: number): boolean {
  const row = elementOf(box, start)?.getBoundingClientRect();
  const outer = box.getBoundingClientRect();
  return row !== undefined && row.top >= outer.top && row.bottom <= outer.top + box.clientHeight;
}

// The end of one of the run's logs, with a choice of which, and what was before it for who wants to see it.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { bytes as size } from "../format";
import { type Described, describe, grouped, isOverall } from "../log/files";
import { useFolding } from "../log/folding";
import "../log/log.css";
import { prepare } from "../log/prepared";
import { RowView } from "../log/row_view";
import type { Row } from "../log/rows";
import { keepInPlace, topRow } from "../log/scrolling";
import { Moment } from "../parts/time";
import { logAddress } from "../run/log_address";
import { bytesOf, type Kernel, type RunOfWidget } from "./model";
import { before, endOf, joined, type Kept, MOST, MOST_AT_END, rowsOfKept } from "./tail";

const AT_END_PX = 24;

interface Props {
  readonly kernel: Kernel;
  readonly run: RunOfWidget;
  readonly isSilent: boolean;
  /** The file that was asked for last; empty: none was. */
  readonly asked: string;
  readonly onAsk: (path: string) => void;
}

export function LogTail({ kernel, run, isSilent, asked, onAsk }: Props): JSX.Element {
  const files = kernel.files.value;
  const described = useMemo(() => (files ?? []).map(describe), [files]);
  const path = asked || kernel.log.value?.path || "";
  const one = described.find(({ file }) => file.path === path);
  return (
    <section aria-label="Log">
      <div class="tail">
        <Choice {...{ described, path, one, onAsk }} isSilent={isSilent || Boolean(run.removed_ns)} />
        {run.removed_ns ? (
          <p class="waiting-for">
            The files of this run were removed <Moment ns={run.removed_ns} />: {run.removed_why}.
          </p>
        ) : kernel.log.value && (!asked || asked === kernel.log.value.path) ? (
          <Lines key={path} kernel={kernel} one={one} isSilent={isSilent} />
        ) : (
          <p class="waiting-for">{asked ? `${asked} comes as soon as the kernel answers.` : "Nothing has been written yet."}</p>
        )}
      </div>
    </section>
  );
}

interface ChoiceProps {
  readonly described: readonly Described[];
  readonly path: string;
  readonly one: Described | undefined;
  readonly isSilent: boolean;
  readonly onAsk: (path: string) => void;
}

function Choice({ described, path, one, isSilent, onAsk }: ChoiceProps): JSX.Element {
  const groups = useMemo(() => grouped(described), [described]);
  return (
    <div class="tools">
      <select aria-label="Which log" value={path} disabled={isSilent || !described.length} onChange={(event) => onAsk(event.currentTarget.value)}>
        {groups.map((group) => (
          <optgroup key={group.key} label={group.title}>
            {group.files.map(({ file, title }) => (
              <option key={file.path} value={file.path}>
                {title}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      {one && <span class="soft">{one.about}</span>}
      <span class="grow" />
      {one && <span class="soft figure">{size(one.file.bytes)}</span>}
    </div>
  );
}

interface LinesProps {
  readonly kernel: Kernel;
  readonly one: Described | undefined;
  readonly isSilent: boolean;
}

function Lines({ kernel, one, isSilent }: LinesProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const anchor = useRef<ReturnType<typeof topRow>>(null);
  const known = useRef<readonly Row[]>([]);
  const [isFollowing, setFollowing] = useState(true);
  const { kept, isAsking, askEarlier } = useKept(kernel, isSilent, isFollowing);
  const overall = one ? isOverall(one.file) : false;
  const rows = useMemo(() => (known.current = kept ? rowsOfKept(kept, known.current) : []), [kept]);
  const prepared = useMemo(() => rows.map((row) => prepare(row, overall)), [rows, overall]);
  const { traces, open, folded, toggleOpen, toggleFold } = useFolding(prepared);
  const { url, run_id: runId } = kernel.page.value ?? { url: "", run_id: "" };
  const path = kept?.path ?? "";
  const gaps = useMemo(() => new Map((kept?.gaps ?? []).map(([start, end]) => [end, end - start])), [kept]);

  useLayoutEffect(() => {
    if (!box.current) return;
    if (isFollowing) box.current.scrollTop = box.current.scrollHeight;
    else if (anchor.current) keepInPlace(box.current, anchor.current);
    anchor.current = topRow(box.current);
  }, [rows, isFollowing, folded, open]);

  function look(): void {
    if (!box.current) return;
    anchor.current = topRow(box.current);
    setFollowing(box.current.scrollHeight - box.current.clientHeight - box.current.scrollTop <= AT_END_PX);
  }

  return (
    <div class="log wrapped">
      <div class="rows" ref={box} tabIndex={0} role="region" aria-label="Lines of the log" onScroll={look}>
        {kept && kept.start > 0 && (
          <div class="more-above">
            <span>{size(kept.start)} before this</span>
            <button type="button" disabled={isSilent || isAsking} onClick={askEarlier}>
              {isAsking ? "Asking the kernel…" : "Load earlier"}
            </button>
          </div>
        )}
        {!rows.length && !gaps.size && <p class="soft">Nothing has been written yet.</p>}
        {prepared.flatMap((each, at) => {
          const trace = traces[at];
          const dropped = gaps.get(each.row.start);
          const mark = dropped ? [<GapMark key={`gap ${each.row.start}`} bytes={dropped} />] : [];
          if (trace?.kind === "hidden") return mark;
          return [
            ...mark,
            <RowView
              key={each.row.start}
              prepared={each}
              number={undefined}
              href={url + logAddress(runId, path, each.row.start)}
              time="-"
              exactTime=""
              isStderr={false}
              isTarget={false}
              isRaw={false}
              isOpen={open.has(each.row.start)}
              found=""
              isFound={false}
              trace={trace?.kind ?? ""}
              traceTitle={trace?.title ?? ""}
              onOpen={toggleOpen}
              onFold={toggleFold}
            />,
          ];
        })}
        {kept && gaps.has(endOf(kept)) && <GapMark bytes={gaps.get(endOf(kept))!} />}
      </div>
    </div>
  );
}

function GapMark({ bytes }: { bytes: number }): JSX.Element {
  return <p class="gap">{size(bytes)} were dropped by the node</p>;
}

/** What is kept of the log: the kernel's end of it, and what came before and was not forgotten since. */
function useKept(kernel: Kernel, isSilent: boolean, isFollowing: boolean) {
  const part = kernel.log.value;
  const [kept, setKept] = useState<Kept | null>(null);
  const [isAsking, setAsking] = useState(false);
  const most = useRef(MOST_AT_END);
  most.current = isFollowing ? MOST_AT_END : MOST;
  useLayoutEffect(() => {
    if (!part) return setKept(null);
    const { path, generation, start, starts_line: startsLine, gaps = [] } = part;
    const now = { path, generation, start, startsLine, bytes: bytesOf(part.bytes), gaps };
    setKept((known) => joined(known, now, most.current));
  }, [part]);
  useEffect(
    () =>
      kernel.onEarlier((head, bytes) => {
        setAsking(false);
        setKept((known) => (known && known.path === head.path ? before(known, head.start, bytes) : known));
      }),
    [kernel],
  );
  useEffect(() => setAsking(false), [isSilent]);
  const askEarlier = () => {
    if (!kept) return;
    setAsking(true);
    kernel.send({ kind: "earlier", path: kept.path, before: kept.start });
  };
  return { kept, isAsking, askEarlier };
}

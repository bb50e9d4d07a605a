// One row of a log.

import type { JSX } from "preact";
import { bytes } from "../format";
import { display, type Piece, type Style } from "./display";
import { hueOf } from "./labels";
import { once } from "./once";
import type { Prepared } from "./prepared";

/** So many characters of a row are shown at first. */
export const SHOWN_CHARACTERS = 2000;

export interface RowProps {
  readonly prepared: Prepared;
  readonly number: number | undefined;
  readonly href: string;
  readonly time: string;
  readonly exactTime: string;
  readonly isStderr: boolean;
  readonly isTarget: boolean;
  readonly isRaw: boolean;
  readonly isOpen: boolean;
  /** Texts that were looked for, and where the one that is looked at is. */
  readonly found: string;
  readonly isFound: boolean;
  readonly trace: "" | "head" | "body" | "folded";
  readonly traceTitle: string;
  readonly onOpen: (start: number) => void;
  readonly onFold: (start: number) => void;
  /** Not given: the browser follows the link, elsewhere. */
  readonly onLink?: ((start: number) => void) | undefined;
}

export const RowView = once(function RowView(props: RowProps): JSX.Element {
  const { prepared, number, trace } = props;
  const { row, label } = prepared;
  const all = props.isRaw || props.isOpen ? prepared.raw : prepared.text;
  const shown = display(all, props.isOpen ? Infinity : SHOWN_CHARACTERS);
  return (
    <div class={classOf(props)} data-start={row.start}>
      <a
        class="number"
        href={props.href}
        tabIndex={-1}
        title={`Byte ${row.start}: the address of this line`}
        onClick={(event) => {
          if (!props.onLink || event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          props.onLink(row.start);
        }}
        {...(props.onLink ? {} : { target: "_blank", rel: "noopener noreferrer" })}
        aria-label={number === undefined ? `Byte ${row.start}` : `Line ${number}`}
      >
        {!row.startsLine ? "…" : (number ?? "·")}
      </a>
      {props.time !== undefined && props.time !== "-" && (
        <span class="when" title={props.exactTime}>
          {props.time}
        </span>
      )}
      {label && (
        <span class={`label hue${hueOf(label.rank)}`} title={`Node ${label.node}${label.attempt ? `, attempt ${label.attempt}` : ""}${label.isLate ? "; came late" : ""}`}>
          {label.what}
        </span>
      )}
      <bdi class="text" dir="ltr">
        {(trace === "head" || trace === "folded") && (
          <button type="button" class="fold" aria-label="Traceback" aria-expanded={trace === "head"} onClick={() => props.onFold(row.start)}>
            {trace === "folded" ? "▸" : "▾"}
          </button>
        )}
        {trace === "folded" && `Traceback: ${props.traceTitle}`}
        {trace !== "folded" && shown.pieces.map((piece, at) => <PieceView key={at} piece={piece} found={props.found} />)}
        {label?.gapBytes ? <span class="mark">{`${bytes(label.gapBytes)} were dropped by the node`}</span> : null}
        {prepared.states > 1 && !props.isRaw && (
          <button type="button" class="more" onClick={() => props.onOpen(row.start)} title="This line was overwritten in place, as progress bars do">
            {props.isOpen ? "last state only" : `${prepared.states} states`}
          </button>
        )}
        {(shown.cut > 0 || (props.isOpen && all.length > SHOWN_CHARACTERS && prepared.states === 1)) && (
          <button type="button" class="more" onClick={() => props.onOpen(row.start)}>
            {props.isOpen ? "show less" : `show ${shown.cut} more characters`}
          </button>
        )}
        {!row.endsLine && row.data.length > SHOWN_CHARACTERS && <span class="mark">the line goes on</span>}
      </bdi>
    </div>
  );
});

function classOf({ prepared, isStderr, isTarget, isFound, trace }: RowProps): string {
  const names = ["row", prepared.level];
  if (isStderr) names.push("stderr");
  if (isTarget) names.push("target");
  if (isFound) names.push("found");
  if (trace) names.push("trace");
  return names.filter(Boolean).join(" ");
}

/** A piece of a line; `found` is marked in it. */
export function PieceView({ piece, found }: { piece: Piece; found: string }): JSX.Element {
  const content = found ? marked(piece.text, found) : piece.text;
  const name = piece.meaning ? `${styleClass(piece.style)} mark` : styleClass(piece.style);
  if (!name) return <>{content}</>;
  return (
    <span class={name} {...(piece.meaning ? { title: piece.meaning } : {})}>
      {content}
    </span>
  );
}

function marked(text: string, found: string): (string | JSX.Element)[] {
  const pieces: (string | JSX.Element)[] = [];
  let position = 0;
  for (let at = text.indexOf(found); at >= 0 && pieces.length < 400; at = text.indexOf(found, position)) {
    pieces.push(text.slice(position, at), <mark key={at}>{found}</mark>);
    position = at + found.length;
  }
  pieces.push(text.slice(position));
  return pieces;
}

function styleClass(style: Style): string {
  const names: string[] = [];
  if (style.ink !== undefined) names.push(`ink${style.ink}`);
  if (style.ground !== undefined) names.push(`ground${style.ground}`);
  if (style.isBold) names.push("bold");
  if (style.isDim) names.push("dim");
  if (style.isItalic) names.push("italic");
  if (style.isUnderlined) names.push("underlined");
  if (style.isStruck) names.push("struck");
  if (style.isInverse) names.push("inverse");
  return names.join(" ");
}

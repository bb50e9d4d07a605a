// Of a file, only the lines that were found.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { display } from "./display";
import type { Found } from "./found";
import { hueOf, labelOf } from "./labels";
import { PieceView, SHOWN_CHARACTERS } from "./row_view";

const AT_ONCE = 500;

interface Props {
  readonly hits: readonly Found[];
  readonly count: number;
  /** How far the search went, or why there is nothing. */
  readonly note: string;
  readonly isOverall: boolean;
  readonly hasTimes: boolean;
  readonly isWrapped: boolean;
  readonly linkTo: (at: number) => string;
  /** Shows a line among those around it. */
  readonly onShow: (at: number) => void;
}

export function OnlyFound(props: Props): JSX.Element {
  const { hits, count, note } = props;
  const [most, setMost] = useState(AT_ONCE);
  return (
    <div class={`log whole ${props.isWrapped ? "wrapped" : ""}`}>
      <div class="rows" tabIndex={0} role="region" aria-label="Lines that were found">
        {hits.slice(0, most).map((hit) => (
          <FoundRow key={hit.at} hit={hit} {...props} />
        ))}
        {hits.length > most && (
          <button type="button" onClick={() => setMost(most + AT_ONCE)}>
            Show {Math.min(AT_ONCE, hits.length - most)} more
          </button>
        )}
        {hits.length <= most && count > hits.length && (
          <p class="soft">
            These are the first {hits.length.toLocaleString("en")} of {count.toLocaleString("en")} lines. Look for less, or choose a time.
          </p>
        )}
        {note && <p class="soft">{note}</p>}
      </div>
    </div>
  );
}

function FoundRow({ hit, isOverall, hasTimes, linkTo, onShow }: Props & { hit: Found }): JSX.Element {
  const label = isOverall && hit.text_start === hit.start ? labelOf(hit.text.slice(0, 200)) : null;
  const { pieces } = display(hit.text.slice(label?.length ?? 0), SHOWN_CHARACTERS);
  return (
    <div class="row">
      <a
        class="number"
        href={linkTo(hit.at)}
        title="Show this line among those around it"
        onClick={(event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          onShow(hit.at);
        }}
      >
        {hit.line ?? `@${hit.start}`}
      </a>
      {hasTimes && hit.at_ns > 0 && <span class="when">{new Date(hit.at_ns / 1e6).toLocaleTimeString("en-GB")}</span>}
      {label && <span class={`label hue${hueOf(label.rank)}`}>{label.what}</span>}
      <bdi class="text" dir="ltr">
        {hit.text_start > hit.start && <span class="mark">…</span>}
        {pieces.map((piece, at) => (
          <PieceView key={at} piece={piece} found={hit.match} />
        ))}
      </bdi>
    </div>
  );
}

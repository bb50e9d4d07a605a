// What a search has found: files with the number of their lines, and the lines.

import type { JSX } from "preact";
import { Link } from "../parts/link";
import { display } from "./display";
import type { Found } from "./found";
import type { Described } from "./files";
import type { Searched } from "./use_search";

const SHOWN_CHARACTERS = 200;
/** Characters of a line before what was found. */
const BEFORE = 10;

interface Props {
  readonly searched: Searched;
  /** In the order in which they are shown. */
  readonly files: readonly Described[];
  readonly at: number | null;
  readonly path: string;
  readonly linkTo: (path: string, at: number) => string;
}

export function Results({ searched, files, at, path, linkTo }: Props): JSX.Element {
  const found = files.filter((one) => (searched.counts.get(one.file.path)?.count ?? searched.hits.get(one.file.path)?.length ?? 0) > 0);
  return (
    <div class="results">
      <p role="status">{summary(searched, found.length)}</p>
      {found.map((one) => (
        <section key={one.file.path} aria-label={one.file.path}>
          <h3 title={one.about}>
            <span class="title">{one.file.folder ? `${one.file.folder} · ${one.title}` : one.title}</span>
            <span class="count figure">{countOf(searched, one.file.path)}</span>
          </h3>
          <ol>
            {(searched.hits.get(one.file.path) ?? []).slice(0, 50).map((hit) => (
              <li key={hit.at}>
                <Link to={linkTo(hit.path, hit.at)} current={hit.path === path && hit.at === at}>
                  {hit.line !== null && <span class="line figure">{hit.line}</span>}
                  <Excerpt hit={hit} />
                </Link>
              </li>
            ))}
          </ol>
        </section>
      ))}
    </div>
  );
}

function countOf(searched: Searched, path: string): string {
  const told = searched.counts.get(path);
  const count = told?.count ?? searched.hits.get(path)?.length ?? 0;
  return told?.is_done ? String(count) : `${count}…`;
}

export function summary(searched: Searched, fileCount: number): string {
  if (searched.error) return searched.error;
  const lines = [...searched.counts.values()].reduce((sum, one) => sum + one.count, 0);
  const words = `${lines.toLocaleString("en")} ${lines === 1 ? "line" : "lines"} in ${fileCount} ${fileCount === 1 ? "file" : "files"}`;
  if (searched.isRunning) return `Searching… ${words}`;
  const passed = passedOver(searched);
  if (searched.why === "time") return `${words}; the time for a search was over before all was read`;
  if (searched.why) return `${words}; the search has failed before all was read`;
  return (lines ? words : "Nothing found") + passed;
}

function passedOver(searched: Searched): string {
  const count = [...searched.counts.values()].filter((one) => one.is_passed_over).length;
  if (!count) return "";
  return `; the lines of ${count} ${count === 1 ? "file" : "files"} have no times, so ${count === 1 ? "it was" : "they were"} passed over`;
}

function Excerpt({ hit }: { hit: Found }): JSX.Element {
  const place = hit.match ? hit.text.indexOf(hit.match) : -1;
  const from = place > BEFORE + 4 ? place - BEFORE : 0;
  const before = hit.text.slice(from, Math.max(from, place));
  const after = place < 0 ? hit.text.slice(0, SHOWN_CHARACTERS) : hit.text.slice(place + hit.match.length, place + hit.match.length + SHOWN_CHARACTERS);
  return (
    <bdi class="excerpt" dir="ltr">
      {from > 0 && "…"}
      {plain(before)}
      {place >= 0 && <mark>{plain(hit.match.slice(0, SHOWN_CHARACTERS))}</mark>}
      {plain(after)}
    </bdi>
  );
}

function plain(text: string): string {
  return display(text, Infinity)
    .pieces.map((piece) => piece.text)
    .join("");
}

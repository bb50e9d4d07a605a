// The run's files, by node, in the order of the phases, each with a line on what it is.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { bytes } from "../format";
import { Link } from "../parts/link";
import type { Described, Group } from "./files";

interface Props {
  readonly groups: readonly Group[];
  readonly chosen: string;
  readonly linkTo: (path: string) => string;
}

/** So many nodes are unfolded at once. */
const OPEN_GROUPS = 3;

export function FileList({ groups, chosen, linkTo }: Props): JSX.Element {
  const [turned, setTurned] = useState<ReadonlyMap<string, boolean>>(new Map());
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => show(place.current), [chosen]);
  const isPlain = groups.length === 1 && !groups[0]?.files[0]?.file.folder;
  return (
    <div ref={place}>
      {groups.map((group) => {
        const isChosen = group.files.some((one) => one.file.path === chosen);
        const isOpen = isPlain || (turned.get(group.key) ?? (isChosen || groups.length <= OPEN_GROUPS || !group.files[0]?.file.folder));
        return (
          <section key={group.key}>
            {!isPlain && (
              <h3>
                <button type="button" class="group" aria-expanded={isOpen} onClick={() => setTurned(new Map(turned).set(group.key, !isOpen))}>
                  {group.title}
                  <span class="soft">{group.files.length}</span>
                </button>
              </h3>
            )}
            {isOpen && <Files files={group.files} chosen={chosen} linkTo={linkTo} />}
          </section>
        );
      })}
    </div>
  );
}

/** Scrolls the list, not the page, to the chosen file. */
function show(list: HTMLElement | null): void {
  const box = list?.closest("aside");
  const row = list?.querySelector("[aria-current]")?.getBoundingClientRect();
  const outer = box?.getBoundingClientRect();
  if (!box || !row || !outer || (row.top >= outer.top && row.bottom <= outer.bottom)) return;
  box.scrollTop += row.top - outer.top - outer.height / 3;
}

function Files({ files, chosen, linkTo }: Pick<Props, "chosen" | "linkTo"> & { files: readonly Described[] }): JSX.Element {
  return (
    <ul class="files">
      {files.map((one) => (
        <li key={one.file.path}>
          <Link to={linkTo(one.file.path)} current={one.file.path === chosen} title={one.file.path}>
            <span class="title">{one.title}</span>
            <span class="size figure">{one.file.removed_ns ? "removed" : bytes(one.file.bytes)}</span>
            <span class="about">{one.about}</span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

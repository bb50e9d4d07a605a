// The tab "Outputs + logs" of one run: its files, a search across them, and the open one.

import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { get } from "../api/client";
import { useLive } from "../live";
import { Link } from "../parts/link";
import { EmptyNote, ErrorNote } from "../parts/notes";
import { FINAL } from "../parts/status";
import { address, place } from "../router";
import type { TabProps } from "../run/tab";
import { filesOf, runPath } from "./asking";
import { FileList } from "./file_list";
import { type Described, firstToRead, grouped, type Verdict } from "./files";
import "./log.css";
import { OpenFile } from "./open_file";
import { Results } from "./results";
import { SearchBar } from "./search_bar";
import { useSearch } from "./use_search";
import { isSearch, isWanted, wanted, wishOf } from "./wish";

const LIVE_MS = 3000;

export function LogsTab({ run }: TabProps): JSX.Element {
  const runId = run.run_id;
  const isOver = run.is_complete && FINAL.has(run.status);
  const files = useLive(`files ${runId} ${isOver}`, (signal) => filesOf(runId, signal), isOver ? 0 : LIVE_MS);
  const isFailed = run.status === "Failed";
  const verdict = useLive(`verdict of logs ${runId} ${run.status}`, (signal) =>
    isFailed ? get<Verdict>(`${runPath(runId)}/verdict`, {}, signal) : Promise.resolve(undefined),
  );
  const known = useRef<readonly Described[] | undefined>(undefined);
  known.current = files.data ?? known.current;
  if (!known.current) return files.error ? <ErrorNote>{files.error.message}</ErrorNote> : <div class="logs" aria-busy="true" />;
  const isDecided = !isFailed || verdict.data !== undefined || verdict.error !== undefined;
  return <Logs runId={runId} files={known.current} isOver={isOver} verdict={verdict.data} isDecided={isDecided} />;
}

interface LogsProps {
  readonly runId: string;
  readonly files: readonly Described[];
  readonly isOver: boolean;
  readonly verdict: Verdict | undefined;
  readonly isDecided: boolean;
}

function Logs({ runId, files, isOver, verdict, isDecided }: LogsProps): JSX.Element {
  const { query } = place.value;
  const wish = wishOf(query);
  const groups = useMemo(() => grouped(files), [files]);
  const ordered = useMemo(() => groups.flatMap((group) => group.files), [groups]);
  const first = useFirst(query.get("file") ? null : isDecided ? firstToRead(files, verdict) : null);
  const path = query.get("file") ?? first?.path ?? "";
  const one = files.find((each) => each.file.path === path) ?? files.find((each) => `${each.file.folder}/${each.file.path}` === path);
  const at = query.get("at") !== null ? Number(query.get("at")) || 0 : query.get("file") ? null : (first?.at ?? null);
  const question = wanted(wish, one, ordered);
  const [again, setAgain] = useState(0);
  const searched = useSearch(runId, question, again);
  const linkTo = (file: string, byte: number | null) => linkOf(runId, query, file, byte);
  const nodes = [...new Set(files.map((each) => each.file.folder).filter(Boolean))];
  const shown = groups.map((group) => ({ ...group, files: group.files.filter((each) => isWanted(wish, each)) })).filter((group) => group.files.length);
  const isAcross = wish.scope === "run" && isSearch(wish);
  if (!files.length) {
    return (
      <EmptyNote title="There are no files yet">
        <p>They appear here as soon as the run writes any.</p>
      </EmptyNote>
    );
  }
  return (
    <div class="logs">
      <SearchBar wish={wish} nodes={nodes} hasRanks={files.some((each) => (each.rank ?? 0) > 0)} />
      <aside aria-label={isAcross ? "Results" : "Files"}>
        {isAcross ? (
          <>
            <Results searched={searched} files={ordered} at={at} path={path} linkTo={linkTo} />
            <button type="button" class="quiet" onClick={() => setAgain(again + 1)}>
              Search again
            </button>
          </>
        ) : (
          <FileList groups={shown} chosen={one?.file.path ?? path} linkTo={(file) => linkTo(file, null)} />
        )}
      </aside>
      {one ? (
        <OpenFile
          key={one.file.path}
          runId={runId}
          one={one}
          isOver={isOver}
          at={at}
          query={query}
          isOnly={wish.isOnly && isSearch(wish)}
          isSearched={isSearch(wish)}
          searched={searched}
          onSearchAgain={() => setAgain(again + 1)}
          linkTo={(byte) => linkTo(one.file.path, byte)}
        />
      ) : path ? (
        <EmptyNote title="There is no such file">
          <p>
            {path} is not among this run's files. <Link to={address("runs", runId, "logs")}>Open the one to read first</Link>
          </p>
        </EmptyNote>
      ) : (
        <div class="open" aria-busy="true" />
      )}
    </div>
  );
}

/** The file that was opened first stays open while others come. */
function useFirst(found: ReturnType<typeof firstToRead>): ReturnType<typeof firstToRead> {
  const [first, setFirst] = useState(found);
  if (found && !first) setFirst(found);
  return first ?? found;
}

function linkOf(runId: string, query: URLSearchParams, file: string, at: number | null): string {
  const next = new URLSearchParams(query);
  next.set("file", file);
  if (at === null) next.delete("at");
  else next.set("at", String(at));
  return `${address("runs", runId, "logs")}?${next}`;
}

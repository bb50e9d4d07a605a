// One open file: what it is, what can be done with it, and its lines.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { isReachable } from "../api/client";
import { bytes } from "../format";
import { copy } from "../parts/copy";
import { setQuery } from "../router";
import { fileUrl, indexUrl, lineAt, offsetAt, offsetOfLine } from "./asking";
import { type Described, isOverall } from "./files";
import type { Found } from "./found";
import { hasGrownSince, noteOf } from "./so_far";
import { LogModel } from "./model";
import { OnlyFound } from "./only_found";
import { JsonText, OnlyBytes, Picture } from "./other_kinds";
import { plainText } from "./display";
import { prepare } from "./prepared";
import type { Searched } from "./use_search";
import { Viewer } from "./viewer";
import { goalOf } from "./wish";

export interface OpenFileProps {
  readonly runId: string;
  readonly one: Described;
  readonly isOver: boolean;
  readonly at: number | null;
  readonly query: URLSearchParams;
  readonly isOnly: boolean;
  readonly searched: Searched;
  readonly isSearched: boolean;
  readonly onSearchAgain: () => void;
  readonly linkTo: (at: number) => string;
}

export function OpenFile(props: OpenFileProps): JSX.Element {
  const { one, runId } = props;
  const url = fileUrl(runId, one.file);
  return (
    <section class="open" aria-label={one.file.path}>
      {one.file.removed_ns ? (
        <Head {...props} url="" />
      ) : one.kind === "log" || one.kind === "text" ? (
        <Lines {...props} url={url} />
      ) : (
        <>
          <Head {...props} url={url} />
          {one.kind === "image" ? <Picture one={one} url={url} /> : one.kind === "json" ? <JsonText one={one} url={url} /> : <OnlyBytes one={one} url={url} />}
        </>
      )}
      {one.file.removed_ns ? <p class="note">Its bytes were removed when they had become too old or too many.</p> : null}
    </section>
  );
}

interface HeadProps extends OpenFileProps {
  readonly url: string;
  readonly size?: number;
  readonly isLive?: boolean;
  readonly children?: JSX.Element;
}

function Head({ one, url, size, isLive, children }: HeadProps): JSX.Element {
  const name = one.file.path.split("/").at(-1) ?? one.file.path;
  return (
    <header class="tools">
      <h2 title={one.file.path}>{one.file.folder ? `${one.file.folder}/${one.title}` : one.title}</h2>
      <span class="soft figure">{bytes(size ?? one.file.bytes)}</span>
      {isLive !== undefined && (
        <span class={`status ${isLive ? "active" : "off"}`} title={isLive ? "What is written appears here" : "Nothing more is written to it"}>
          {isLive ? (isReachable.value ? "Live" : "Waiting for the collector") : "Ended"}
        </span>
      )}
      <span class="grow" />
      {children}
      {url && (
        <a class="button" href={url} download={name}>
          Download
        </a>
      )}
    </header>
  );
}

function Lines(props: OpenFileProps & { url: string }): JSX.Element {
  const { one, runId, at, query, url } = props;
  const model = useMemo(() => new LogModel(url, indexUrl(runId, one.file), one.file.bytes), [url]);
  const [isExpected] = useState(!one.file.is_sealed && !props.isOver);
  const overall = isOverall(one.file);
  useEffect(() => {
    model.open(at, isExpected);
    if (isExpected) model.listen(runId, one.file.path);
    return () => model.dispose();
  }, [model]);
  useEffect(() => {
    if (at !== null) model.show(at);
  }, [at, model]);
  useLineNumbers(model, runId, one.file.path);
  const options = { isWrapped: query.get("wrap") !== "0", isRaw: query.get("raw") === "1", hasTimes: query.get("times") === "1" };
  const hits = props.searched.hits.get(one.file.path) ?? [];
  const told = props.searched.counts.get(one.file.path);
  const count = told?.count ?? hits.length;
  void model.version.value;
  return (
    <>
      <Head {...props} size={model.window.size} isLive={model.isLive.value}>
        <Tools model={model} {...props} options={options} hits={hits} count={count} />
      </Head>
      {props.isOnly ? (
        <OnlyFound
          hits={hits}
          count={count}
          note={noteOf(props.searched, told, hits.length, model.window.size)}
          isOverall={overall}
          hasTimes={options.hasTimes}
          isWrapped={options.isWrapped}
          linkTo={props.linkTo}
          onShow={(place) => setQuery({ at: String(place), only: null }, false)}
        />
      ) : (
        <Viewer
          model={model}
          isOverall={overall}
          options={options}
          target={at}
          found={hits}
          linkTo={props.linkTo}
          onLink={(place) => setQuery({ file: one.file.path, at: String(place) })}
        />
      )}
    </>
  );
}

/** Asks for the number of the first line where one has jumped into the middle of a file. */
function useLineNumbers(model: LogModel, runId: string, path: string): void {
  const { start, firstLine, rows } = model.window;
  const isUnknown = firstLine === undefined && rows.length > 0;
  useEffect(() => {
    if (!isUnknown) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      lineAt(runId, path, start, abort.signal).then(
        (line) => model.countFrom(start, line),
        () => undefined, // the file is too long to be counted in time: its lines are known by their bytes
      );
    }, 150);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [isUnknown, isUnknown ? start : 0, model]);
}

interface ToolsProps extends OpenFileProps {
  readonly model: LogModel;
  readonly options: { readonly isWrapped: boolean; readonly isRaw: boolean; readonly hasTimes: boolean };
  readonly hits: readonly Found[];
  readonly count: number;
}

function Tools(props: ToolsProps): JSX.Element {
  const { model, options, one, runId } = props;
  const canTellTimes = indexUrl(runId, one.file) !== null;
  return (
    <>
      {props.isSearched && <Steps {...props} />}
      <Toggle name="wrap" isOn={options.isWrapped} values={[null, "0"]} text="Wrap" about="Long lines go on below" />
      <Toggle name="raw" isOn={options.isRaw} values={["1", null]} text="Raw" about="Every state of progress bars" />
      {canTellTimes && <Toggle name="times" isOn={options.hasTimes} values={["1", null]} text="Times" about="When each line came" />}
      <GoTo {...props} />
      <CopyLines model={model} isOverall={isOverall(one.file)} isRaw={options.isRaw} />
      {model.isLive.value && (
        <button type="button" aria-pressed={model.isFollowing.value} onClick={() => (model.isFollowing.value ? (model.isFollowing.value = false) : follow(model))}>
          Follow
        </button>
      )}
    </>
  );
}

function follow(model: LogModel): void {
  setQuery({ at: null });
  model.follow();
}

function Toggle(props: { name: string; isOn: boolean; values: readonly [string | null, string | null]; text: string; about: string }): JSX.Element {
  const { name, isOn, values, text, about } = props;
  return (
    <button type="button" aria-pressed={isOn} title={about} onClick={() => setQuery({ [name]: isOn ? values[1] : values[0] })}>
      {text}
    </button>
  );
}

function Steps({ hits, count, at, isOnly, searched, one, model, onSearchAgain }: ToolsProps): JSX.Element {
  const told = searched.counts.get(one.file.path);
  const number = at === null ? -1 : hits.findIndex((hit) => hit.at === at);
  const step = (by: number) => {
    const behind = hits.findIndex((hit) => hit.at >= (at ?? 0));
    const next = number >= 0 ? number + by : by > 0 ? (behind < 0 ? 0 : behind) : (behind < 0 ? hits.length : behind) - 1;
    const hit = hits[(next + hits.length) % hits.length];
    if (hit) setQuery({ file: one.file.path, at: String(hit.at) });
  };
  return (
    <span class="steps">
      <span class="figure soft" role="status">
        {searched.isRunning && !count ? "searching…" : number >= 0 ? `${number + 1} of ${count.toLocaleString("en")}` : `${count.toLocaleString("en")} found`}
      </span>
      <button type="button" aria-label="Previous line that was found" disabled={!hits.length || isOnly} onClick={() => step(-1)}>
        ↑
      </button>
      <button type="button" aria-label="Next line that was found" disabled={!hits.length || isOnly} onClick={() => step(1)}>
        ↓
      </button>
      {hasGrownSince(searched, told, model.window.size) && (
        <button type="button" title={`Only the first ${bytes(told?.size ?? 0)} were searched; more has come since`} onClick={onSearchAgain}>
          Search again
        </button>
      )}
      <Toggle name="only" isOn={isOnly} values={["1", null]} text="Only these" about="Show only the lines that were found" />
    </span>
  );
}

function GoTo({ model, one, runId }: ToolsProps): JSX.Element {
  const [text, setText] = useState("");
  const [why, setWhy] = useState("");
  async function go(): Promise<void> {
    const goal = goalOf(text, model.stamps.value[0]?.ms ?? (one.file.modified_ns / 1e6 || Date.now()));
    if (!goal) return setWhy("a line, 50%, @byte, or 12:30:05");
    try {
      const place = await placeOf(goal.kind, goal.value, model.window.size);
      if (place === null) return setWhy("this file's times are not known");
      setWhy("");
      model.isFollowing.value = false;
      setQuery({ at: String(place), only: null }, false);
    } catch (error) {
      setWhy(error instanceof Error ? error.message : String(error));
    }
  }
  async function placeOf(kind: string, value: number, size: number): Promise<number | null> {
    const last = Math.max(0, size - 1);
    if (kind === "byte") return Math.min(value, last);
    if (kind === "share") return Math.min(Math.floor(size * value), last);
    if (kind === "line") return offsetOfLine(runId, one.file.path, Math.max(1, value));
    const found = await offsetAt(runId, one.file, value * 1e6);
    return found === null ? null : Math.min(found, last);
  }
  return (
    <form
      class="goto"
      onSubmit={(event) => {
        event.preventDefault();
        void go();
      }}
    >
      <input
        type="text"
        aria-label="Go to a line, a time, a share of the file (50%) or a byte (@4096)"
        title="120: a line; 12:30:05: a time; 50%: half of the file; @4096: a byte"
        placeholder="Go to line or time"
        size={17}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      {why && (
        <span class="why" role="alert">
          {why}
        </span>
      )}
    </form>
  );
}

function CopyLines({ model, isOverall, isRaw }: { model: LogModel; isOverall: boolean; isRaw: boolean }): JSX.Element {
  const [isDone, setDone] = useState(false);
  async function copyLines(): Promise<void> {
    const chosen = getSelection()?.toString();
    const lines = model.window.rows.map((row) => {
      const one = prepare(row, isOverall);
      return plainText(isRaw ? one.raw : one.text) + (row.endsLine ? "\n" : "");
    });
    await copy(chosen || lines.join(""));
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  }
  return (
    <button type="button" title="Copies what is selected, or the lines that are on the page" onClick={() => void copyLines()}>
      {isDone ? "Copied" : "Copy"}
    </button>
  );
}

// What is looked for, and in what. Everything stands in the address.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { setQuery } from "../router";
import { PHASE_NAMES } from "./files";
import { isSearch, localOf, momentOf, type Wish } from "./wish";

interface Props {
  readonly wish: Wish;
  readonly nodes: readonly string[];
  readonly hasRanks: boolean;
}

const FILTERS = ["level", "stream", "since", "until", "rank", "node", "phase"] as const;

export function SearchBar({ wish, nodes, hasRanks }: Props): JSX.Element {
  const [words, setWords] = useState(wish.words);
  useEffect(() => setWords(wish.words), [wish.words]);
  const count = [wish.level, wish.source, wish.since, wish.until, wish.ranks, wish.node, wish.phase].filter(Boolean).length;
  return (
    <form
      class="search"
      role="search"
      aria-label="Search the logs"
      onSubmit={(event) => {
        event.preventDefault();
        setQuery({ q: words });
      }}
    >
      <input
        type="search"
        aria-label="Find in the logs"
        placeholder={wish.isRegex ? "Find by regular expression" : "Find words"}
        value={words}
        spellcheck={false}
        onInput={(event) => {
          setWords(event.currentTarget.value);
          setQuery({ q: event.currentTarget.value });
        }}
      />
      <label>
        <span class="hidden">Search in</span>
        <select value={wish.scope} onChange={(event) => setQuery({ in: event.currentTarget.value === "run" ? "run" : null })}>
          <option value="file">in this file</option>
          <option value="run">in all files</option>
        </select>
      </label>
      <Check name="regex" isOn={wish.isRegex} text="Regular expression" />
      <Check name="case" isOn={wish.isCase} text="Match case" />
      <details open={count > 0 ? true : undefined}>
        <summary>Filters{count ? ` (${count})` : ""}</summary>
        <div class="filters">
          <Filters wish={wish} nodes={nodes} hasRanks={hasRanks} />
        </div>
      </details>
      {(isSearch(wish) || count > 0) && (
        <button type="button" class="quiet" onClick={() => setQuery({ q: null, only: null, ...Object.fromEntries(FILTERS.map((name) => [name, null])) })}>
          Clear
        </button>
      )}
    </form>
  );
}

function Check({ name, isOn, text }: { name: string; isOn: boolean; text: string }): JSX.Element {
  return (
    <label class="check">
      <input type="checkbox" checked={isOn} onChange={(event) => setQuery({ [name]: event.currentTarget.checked ? "1" : null })} />
      {text}
    </label>
  );
}

function Filters({ wish, nodes, hasRanks }: Props): JSX.Element {
  return (
    <>
      <Choice name="level" text="Level" value={wish.level} isOnly options={{ "": "all lines", warning: "warnings and errors", error: "errors" }} />
      <Choice name="stream" text="Stream" value={wish.source} isOnly options={{ "": "both", stdout: "standard output", stderr: "standard error" }} />
      {hasRanks && <Field name="rank" text="Ranks" value={wish.ranks} hint="all; 0,3,8-15" />}
      {nodes.length > 1 && <Choice name="node" text="Node" value={wish.node} options={{ "": "all", ...Object.fromEntries(nodes.map((one) => [one, one])) }} />}
      <Choice name="phase" text="Phase" value={wish.phase} options={{ "": "all", ...PHASE_NAMES }} />
      <Moment name="since" text="From" value={wish.since} />
      <Moment name="until" text="Until" value={wish.until} />
    </>
  );
}

interface ChoiceProps {
  readonly name: string;
  readonly text: string;
  readonly value: string;
  readonly options: Readonly<Record<string, string>>;
  /** Choosing one shows only its lines. */
  readonly isOnly?: boolean;
}

function Choice({ name, text, value, options, isOnly }: ChoiceProps): JSX.Element {
  return (
    <label>
      {text}
      <select value={value} onChange={(event) => setQuery({ [name]: event.currentTarget.value, ...(isOnly && event.currentTarget.value ? { only: "1" } : {}) })}>
        {Object.entries(options).map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Field({ name, text, value, hint }: { name: string; text: string; value: string; hint: string }): JSX.Element {
  // What is being typed outlives the drawing of new lines around it.
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  return (
    <label>
      {text}
      <input
        type="text"
        value={typed}
        placeholder={hint}
        size={10}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onChange={(event) => setQuery({ [name]: event.currentTarget.value })}
      />
    </label>
  );
}

function Moment({ name, text, value }: { name: string; text: string; value: number }): JSX.Element {
  const choose = (local: string) => {
    const moment = momentOf(local);
    setQuery(moment ? { [name]: String(moment), only: "1" } : { [name]: null });
  };
  return (
    <label>
      {text}
      <input type="datetime-local" step={1} value={localOf(value)} onChange={(event) => choose(event.currentTarget.value)} />
    </label>
  );
}

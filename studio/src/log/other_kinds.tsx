// Files that are no logs: pictures, JSON, and what is only downloaded.

import type { JSX } from "preact";
import { answerTo } from "../api/client";
import { bytes } from "../format";
import { useLive } from "../live";
import { EmptyNote, ErrorNote } from "../parts/notes";
import type { Described } from "./files";

export function Picture({ one, url }: { one: Described; url: string }): JSX.Element {
  return (
    <div class="picture">
      <img src={url} alt={one.title} />
    </div>
  );
}

export function JsonText({ one, url }: { one: Described; url: string }): JSX.Element {
  const { data, error } = useLive(`json ${url} ${one.file.bytes}`, (signal) => textOf(url, signal));
  if (error) return <ErrorNote>{error.message}</ErrorNote>;
  return (
    <pre class="json" tabIndex={0} aria-label={one.title}>
      {data ?? ""}
    </pre>
  );
}

async function textOf(url: string, signal: AbortSignal): Promise<string> {
  const response = await answerTo(url, { signal });
  if (!response.ok) throw new Error(`The file cannot be read (${response.status}).`);
  const text = await response.text();
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // it says it is JSON and is not: shown as it is
  }
}

export function OnlyBytes({ one, url }: { one: Described; url: string }): JSX.Element {
  return (
    <EmptyNote title={one.title}>
      <p>These are {bytes(one.file.bytes)} that are not shown here.</p>
      <p>
        <a class="button" href={url} download={one.title.split("/").at(-1) ?? one.title}>
          Download
        </a>
      </p>
    </EmptyNote>
  );
}

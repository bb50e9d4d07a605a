// Images of a metric, one after the other as the training has logged them.

import { useEffect, useState } from "preact/hooks";
import { useLive } from "../../live";
import { ErrorNote } from "../../parts/notes";
import { useSteady } from "../hooks";
import { artifactUrl, askFile, askValues } from "./files";

interface Props {
  readonly runId: string;
  readonly name: string;
  readonly count: number;
}

const MOST_IMAGES = 10_000;
const TYPES: Readonly<Record<string, string>> = { png: "png", jpg: "jpeg", jpeg: "jpeg", gif: "gif", webp: "webp", svg: "svg+xml", bmp: "bmp" };

export function Images({ runId, name, count }: Props) {
  // The newest is shown until somebody chooses another.
  const [chosen, setChosen] = useState<number | null>(null);
  const { data, error } = useSteady(`images ${runId} ${name} ${count}`, (signal) =>
    askValues(runId, name, Math.max(0, count - MOST_IMAGES), MOST_IMAGES, signal),
  );
  const points = data?.points ?? [];
  const at = Math.min(points.length - 1, chosen ?? points.length - 1);
  const point = points[at];
  const path = typeof point?.value === "string" ? point.value : "";
  return (
    <>
      {error && !data && <ErrorNote>{error.message}</ErrorNote>}
      <div class="image-place">{path && <Picture key={path} runId={runId} path={path} label={`${name}, ${wordsOf(at, points.length, point?.step)}`} />}</div>
      <div class="typed-tools">
        {points.length > 1 && (
          <label>
            Image{" "}
            <input
              type="range"
              min="0"
              max={points.length - 1}
              value={at}
              aria-valuetext={wordsOf(at, points.length, point?.step)}
              onInput={(event) => setChosen(event.currentTarget.valueAsNumber)}
            />
          </label>
        )}
        <span class="figure">{point && wordsOf(at, points.length, point.step)}</span>
        {path && (
          <a href={artifactUrl(runId, path)} download={path.split("/").pop()}>
            Download
          </a>
        )}
      </div>
    </>
  );
}

function wordsOf(at: number, count: number, step: number | null | undefined): string {
  return `${at + 1} of ${count}${step === null || step === undefined ? "" : `, step ${step}`}`;
}

function Picture({ runId, path, label }: { runId: string; path: string; label: string }) {
  const { data, error } = useLive(`picture ${runId} ${path}`, (signal) => askFile(runId, path, signal));
  const [url, setUrl] = useState("");
  const [isBroken, setBroken] = useState(false);
  useEffect(() => {
    if (!data) return;
    const type = TYPES[path.split(".").pop()?.toLowerCase() ?? ""];
    const made = URL.createObjectURL(type ? data.slice(0, data.size, `image/${type}`) : data);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [data]);
  if (error) return <ErrorNote>{error.message}</ErrorNote>;
  if (isBroken) return <p class="soft">The browser cannot draw this file; download it to look at it elsewhere.</p>;
  return url ? <img src={url} alt={label} onError={() => setBroken(true)} /> : null;
}

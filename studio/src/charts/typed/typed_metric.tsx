// A metric that is no number, drawn as what it is.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ErrorNote } from "../../parts/notes";
import { useSteady } from "../hooks";
import type { Metric } from "../metrics";
import { AccuracyTable } from "./accuracy";
import { ConfusionMatrix } from "./confusion";
import { dataOf } from "./documents";
import { askFile, askValues } from "./files";
import { Images } from "./images";
import { PredictionsChart, Residuals } from "./regression";
import { RowsTable } from "./rows_table";
import "./typed.css";

type Data = Readonly<Record<string, unknown>>;

const DOCUMENTS: Readonly<Record<string, (props: { name: string; data: Data }) => JSX.Element>> = {
  confusion_matrix: ConfusionMatrix,
  accuracy_table: AccuracyTable,
  residuals: Residuals,
  predictions: PredictionsChart,
};
const NAMES: Readonly<Record<string, string>> = {
  image: "image",
  row: "table",
  confusion_matrix: "confusion matrix",
  accuracy_table: "accuracy table",
  residuals: "residuals",
  predictions: "predictions",
  scalar: "text",
};
const WIDE: ReadonlySet<string> = new Set(["row", "accuracy_table"]);

export function TypedMetric({ runId, metric }: { runId: string; metric: Metric }) {
  const { name, kind, count } = metric;
  const Shown = DOCUMENTS[kind];
  return (
    <section class={`typed${WIDE.has(kind) ? " wide" : ""}`} aria-label={name}>
      <h3>
        {name} <span class="soft">{NAMES[kind] ?? kind}</span>
      </h3>
      {kind === "image" && <Images {...{ runId, name, count }} />}
      {Shown && <Document {...{ runId, name, count, Shown }} />}
      {kind !== "image" && !Shown && <RowsTable {...{ runId, name, count }} />}
    </section>
  );
}

interface DocumentProps {
  readonly runId: string;
  readonly name: string;
  readonly count: number;
  readonly Shown: (props: { name: string; data: Data }) => JSX.Element;
}

/** One of the documents that were logged under the name: the last, unless another is chosen. */
function Document({ runId, name, count, Shown }: DocumentProps) {
  const [chosen, setChosen] = useState<number | null>(null);
  const at = Math.min(count - 1, chosen ?? count - 1);
  const { data, error } = useSteady(`document ${runId} ${name} ${at}`, async (signal) => {
    const { points } = await askValues(runId, name, at, 1, signal);
    const file = await askFile(runId, String(points[0]?.value ?? ""), signal);
    return dataOf(JSON.parse(await file.text()));
  });
  return (
    <>
      {count > 1 && (
        <label class="typed-tools">
          Logged{" "}
          <input type="range" min="0" max={count - 1} value={at} onInput={(event) => setChosen(event.currentTarget.valueAsNumber)} />
          <span class="figure">
            {at + 1} of {count}
          </span>
        </label>
      )}
      {error && !data && <ErrorNote>{error.message}</ErrorNote>}
      {data ? <Shown name={name} data={data} /> : <div class="table-place" />}
    </>
  );
}

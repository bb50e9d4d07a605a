// A confusion matrix as a heat map with its numbers: the true classes as rows, the predicted ones as columns.

import { useState } from "preact/hooks";
import { Choice } from "../editor_fields";
import { confusionOf, normalised, sum, type Normalised } from "./documents";

const WAYS: Readonly<Record<Normalised, string>> = {
  none: "Counts",
  true: "Parts of the true class",
  predicted: "Parts of the predicted class",
  all: "Parts of all",
};

// Percent of the colour; with more of it the numbers could not be read any more.
const STRONGEST = 70;

export function ConfusionMatrix({ name, data }: { name: string; data: Readonly<Record<string, unknown>> }) {
  const [by, setBy] = useState<Normalised>("none");
  const confusion = confusionOf(data);
  const cells = normalised(confusion, by);
  const most = Math.max(...cells.flat(), 0);
  const hits = sum(confusion.matrix.map((row, at) => row[at] ?? 0));
  const total = sum(confusion.matrix.flat());
  return (
    <>
      <div class="typed-tools">
        <label>
          Show <Choice among={WAYS} value={by} onValue={setBy} />
        </label>
        <span class="soft">
          {total ? `${Number(((100 * hits) / total).toPrecision(4))} % of ${total} are right` : "There is nothing in it."}
        </span>
      </div>
      <div class="typed-scroll" tabIndex={0} role="region" aria-label={`Confusion matrix ${name}`}>
        <table class="confusion figure">
          <thead>
            <tr>
              <td class="soft">true \ predicted</td>
              {confusion.labels.map((label) => (
                <th scope="col" key={label}>
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {cells.map((row, at) => (
              <tr key={confusion.labels[at]}>
                <th scope="row">{confusion.labels[at]}</th>
                {row.map((cell, column) => (
                  <td
                    key={confusion.labels[column]}
                    style={{ background: `color-mix(in srgb, var(--heat) ${most ? Math.round((cell / most) * STRONGEST) : 0}%, var(--ground))` }}
                  >
                    {by === "none" ? cell : `${(cell * 100).toFixed(1)} %`}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

// The rows of a table metric, or the values of a metric that are texts and truths, in the order in which they were logged.

import { useState } from "preact/hooks";
import { number } from "../../format";
import { ErrorNote } from "../../parts/notes";
import { Moment } from "../../parts/time";
import { useSteady } from "../hooks";
import { askValues, type Value } from "./files";

interface Props {
  readonly runId: string;
  readonly name: string;
  readonly count: number;
}

const FEW = 100;
const MORE = 1000;

export function RowsTable({ runId, name, count }: Props) {
  const [limit, setLimit] = useState(FEW);
  const { data, error } = useSteady(`rows ${runId} ${name} ${count} ${limit}`, (signal) => askValues(runId, name, 0, limit, signal));
  if (!data) return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="table-place" />;
  const rows = data.points.map(cellsOf);
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const isRow = data.points.some((point) => isCells(point.value));
  return (
    <>
      <div class="typed-scroll" tabIndex={0} role="region" aria-label={`Values of ${name}`}>
        <table class="plain figure">
          <thead>
            <tr>
              <th scope="col">{isRow ? "Row" : "Step"}</th>
              {columns.map((column) => (
                <th scope="col" key={column}>
                  {column}
                </th>
              ))}
              <th scope="col">Logged</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row, at) => (
              <tr key={at}>
                <th scope="row">{isRow ? at + 1 : (data.points[at]!.step ?? at)}</th>
                {columns.map((column) => (
                  <td key={column}>{column in row ? number(row[column] as number | string | boolean | null) : ""}</td>
                ))}
                <td>
                  <Moment ns={data.points[at]!.at_ms * 1e6} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {data.next !== undefined && (
        <p>
          The first {rows.length} of {data.count}.{" "}
          <button type="button" onClick={() => setLimit(limit + MORE)}>
            Show {Math.min(MORE, data.count - rows.length)} more
          </button>
        </p>
      )}
    </>
  );
}

type Cells = Readonly<Record<string, unknown>>;

function isCells(value: unknown): value is Cells {
  return typeof value === "object" && value !== null;
}

function cellsOf({ value }: Value): Cells {
  return isCells(value) ? value : { Value: value };
}

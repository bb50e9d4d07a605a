// The dialog in which a chart is made or changed.

import { useState } from "preact/hooks";
import { FormDialog } from "../parts/dialog";
import { BarsFields, LinesFields, ParallelFields, ScatterFields } from "./editor_fields";
import { linesOf } from "./arrangement";
import { KINDS, SIZES, type ChartSpec, type Kind, type Size } from "./model";
import type { Names } from "./use_charts";

interface Props {
  readonly chart: ChartSpec;
  readonly isNew: boolean;
  readonly names: Names;
  readonly onSave: (chart: ChartSpec) => void;
  readonly onClose: () => void;
}

/** A chart of a kind to begin with. */
export function draftOf(kind: Kind, id: string, names: Names): ChartSpec {
  const metric = names.metrics[0] ?? "";
  const param = names.params[0];
  const last = { from: "metric", name: metric, value: "last" } as const;
  if (kind === "lines") return linesOf(id, metric ? [metric] : []);
  const common = { id, title: "", size: "medium" } as const;
  if (kind === "bars") return { ...common, kind, metric, value: "last", groupBy: "" };
  if (kind === "parallel") {
    return { ...common, size: "large", kind, axes: [...names.params.slice(0, 6).map((name) => ({ from: "param", name }) as const), last] };
  }
  return { ...common, kind, x: param === undefined ? last : { from: "param", name: param }, y: last, isLogX: false, isLogY: false };
}

export function ChartEditor({ chart, isNew, names, onSave, onClose }: Props) {
  const [draft, setDraft] = useState(chart);
  return (
    <FormDialog
      title={isNew ? `Add a chart: ${KINDS[chart.kind].toLowerCase()}` : "Edit the chart"}
      action={isNew ? "Add" : "Save"}
      isDisabled={!isWhole(draft)}
      onSubmit={async () => onSave(draft)}
      onClose={onClose}
    >
      <label>
        Title
        <input
          value={draft.title}
          placeholder="What it shows"
          onInput={(event) => setDraft({ ...draft, title: event.currentTarget.value })}
        />
      </label>
      {draft.kind === "lines" && <LinesFields {...{ names }} draft={draft} onDraft={setDraft} />}
      {draft.kind === "scatter" && <ScatterFields {...{ names }} draft={draft} onDraft={setDraft} />}
      {draft.kind === "parallel" && <ParallelFields {...{ names }} draft={draft} onDraft={setDraft} />}
      {draft.kind === "bars" && <BarsFields {...{ names }} draft={draft} onDraft={setDraft} />}
      <label>
        Size
        <select value={draft.size} onChange={(event) => setDraft({ ...draft, size: event.currentTarget.value as Size })}>
          {Object.entries(SIZES).map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </FormDialog>
  );
}

function isWhole(draft: ChartSpec): boolean {
  if (draft.kind === "lines") return draft.metrics.length > 0;
  if (draft.kind === "parallel") return draft.axes.length > 1;
  return draft.kind === "bars" ? draft.metric !== "" : draft.x.name !== "" && draft.y.name !== "";
}

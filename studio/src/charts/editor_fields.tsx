// What can be chosen of each kind of chart.

import { useState } from "preact/hooks";
import {
  AGGREGATES,
  AXES,
  MOST_SMOOTHING,
  type Aggregate,
  type Axis,
  type BarsChart,
  type Limits,
  type LinesChart,
  type ParallelChart,
  type ScatterChart,
  type Source,
} from "./model";
import type { Names } from "./use_charts";

interface Props<C> {
  readonly draft: C;
  readonly names: Names;
  readonly onDraft: (draft: C) => void;
}

export function LinesFields({ draft, names, onDraft }: Props<LinesChart>) {
  return (
    <>
      <Several label="Metrics" all={names.metrics} chosen={draft.metrics} onChosen={(metrics) => onDraft({ ...draft, metrics })} />
      <label>
        X axis
        <Choice among={AXES} value={draft.x} onValue={(x: Axis) => onDraft({ ...draft, x })} />
      </label>
      <label>
        Smoothing: {draft.smoothing.toFixed(2)}
        <input
          type="range"
          min="0"
          max={MOST_SMOOTHING}
          step="0.01"
          value={draft.smoothing}
          onInput={(event) => onDraft({ ...draft, smoothing: event.currentTarget.valueAsNumber })}
        />
      </label>
      <Logs draft={draft} onDraft={onDraft} />
      <LimitFields label="X" value={draft.xLimits} onValue={(xLimits) => onDraft({ ...draft, xLimits })} />
      <LimitFields label="Y" value={draft.yLimits} onValue={(yLimits) => onDraft({ ...draft, yLimits })} />
    </>
  );
}

export function ScatterFields({ draft, names, onDraft }: Props<ScatterChart>) {
  return (
    <>
      <SourceField label="X" source={draft.x} names={names} onSource={(x) => onDraft({ ...draft, x })} />
      <SourceField label="Y" source={draft.y} names={names} onSource={(y) => onDraft({ ...draft, y })} />
      <Logs draft={draft} onDraft={onDraft} />
    </>
  );
}

export function ParallelFields({ draft, names, onDraft }: Props<ParallelChart>) {
  const of = (from: Source["from"]) => draft.axes.filter((axis) => axis.from === from);
  const value = draft.axes.find((axis) => axis.from === "metric")?.value ?? "last";
  const metrics = (chosen: readonly string[], as: Aggregate): Source[] => chosen.map((name) => ({ from: "metric", name, value: as }));
  const chosenMetrics = of("metric").map(({ name }) => name);
  return (
    <>
      <Several
        label="Parameters"
        all={names.params}
        chosen={of("param").map(({ name }) => name)}
        onChosen={(chosen) => onDraft({ ...draft, axes: [...chosen.map((name) => ({ from: "param", name }) as const), ...of("metric")] })}
      />
      <Several
        label="Metrics"
        all={names.metrics}
        chosen={chosenMetrics}
        onChosen={(chosen) => onDraft({ ...draft, axes: [...of("param"), ...metrics(chosen, value)] })}
      />
      <label>
        Value of the metrics
        <Choice
          among={AGGREGATES}
          value={value}
          onValue={(as: Aggregate) => onDraft({ ...draft, axes: [...of("param"), ...metrics(chosenMetrics, as)] })}
        />
      </label>
    </>
  );
}

export function BarsFields({ draft, names, onDraft }: Props<BarsChart>) {
  return (
    <>
      <label>
        Metric
        <Names all={names.metrics} value={draft.metric} onValue={(metric) => onDraft({ ...draft, metric })} />
      </label>
      <label>
        Value
        <Choice among={AGGREGATES} value={draft.value} onValue={(value: Aggregate) => onDraft({ ...draft, value })} />
      </label>
      <label>
        A bar for each
        <select value={draft.groupBy} onChange={(event) => onDraft({ ...draft, groupBy: event.currentTarget.value })}>
          <option value="">run</option>
          {names.params.map((name) => (
            <option key={name} value={name}>
              value of {name}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

function Logs<C extends { readonly isLogX: boolean; readonly isLogY: boolean }>({ draft, onDraft }: { draft: C; onDraft: (draft: C) => void }) {
  return (
    <div class="fields">
      <label class="tick">
        <input type="checkbox" checked={draft.isLogX} onChange={(event) => onDraft({ ...draft, isLogX: event.currentTarget.checked })} />
        Logarithmic x
      </label>
      <label class="tick">
        <input type="checkbox" checked={draft.isLogY} onChange={(event) => onDraft({ ...draft, isLogY: event.currentTarget.checked })} />
        Logarithmic y
      </label>
    </div>
  );
}

function LimitFields({ label, value, onValue }: { label: string; value: Limits; onValue: (value: Limits) => void }) {
  const field = (place: 0 | 1, name: string) => (
    <label>
      {label} {name}
      <input
        type="number"
        step="any"
        placeholder="as the data"
        value={value[place] ?? ""}
        onInput={(event) => {
          const given = event.currentTarget.value === "" ? null : event.currentTarget.valueAsNumber;
          const limit = given === null || Number.isFinite(given) ? given : null;
          onValue(place ? [value[0], limit] : [limit, value[1]]);
        }}
      />
    </label>
  );
  return (
    <div class="fields">
      {field(0, "from")}
      {field(1, "to")}
    </div>
  );
}

function SourceField({ label, source, names, onSource }: { label: string; source: Source; names: Names; onSource: (source: Source) => void }) {
  const value = source.from === "metric" ? source.value : "last";
  return (
    <div class="fields">
      <label>
        {label}
        <select
          value={`${source.from} ${source.name}`}
          onChange={(event) => {
            const [from, name] = split(event.currentTarget.value);
            onSource(from === "param" ? { from: "param", name } : { from: "metric", name, value });
          }}
        >
          <optgroup label="Metrics">{optionsOf("metric", names.metrics)}</optgroup>
          <optgroup label="Parameters">{optionsOf("param", names.params)}</optgroup>
        </select>
      </label>
      {source.from === "metric" && (
        <label>
          {label} value
          <Choice among={AGGREGATES} value={value} onValue={(as: Aggregate) => onSource({ ...source, value: as })} />
        </label>
      )}
    </div>
  );
}

function split(text: string): [from: string, name: string] {
  const at = text.indexOf(" ");
  return [text.slice(0, at), text.slice(at + 1)];
}

function optionsOf(from: Source["from"], names: readonly string[]) {
  return names.map((name) => (
    <option key={name} value={`${from} ${name}`}>
      {name}
    </option>
  ));
}

function Names({ all, value, onValue }: { all: readonly string[]; value: string; onValue: (value: string) => void }) {
  return (
    <select value={value} onChange={(event) => onValue(event.currentTarget.value)}>
      {[...new Set([...all, value])].filter(Boolean).map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

export function Choice<T extends string>({ among, value, onValue }: { among: Readonly<Record<T, string>>; value: T; onValue: (value: T) => void }) {
  return (
    <select value={value} onChange={(event) => onValue(event.currentTarget.value as T)}>
      {(Object.keys(among) as T[]).map((one) => (
        <option key={one} value={one}>
          {among[one]}
        </option>
      ))}
    </select>
  );
}

const MANY = 8;

/** Several of many names: ticks, with a field that narrows them down where they are many. */
function Several({ label, all, chosen, onChosen }: { label: string; all: readonly string[]; chosen: readonly string[]; onChosen: (chosen: readonly string[]) => void }) {
  const [wanted, setWanted] = useState("");
  const names = [...new Set([...chosen, ...all])].sort();
  const shown = names.filter((name) => name.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <fieldset class="several">
      <legend>{label}</legend>
      {names.length > MANY && (
        <input aria-label={`Find among ${label.toLowerCase()}`} placeholder="Find" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
      )}
      <div>
        {shown.map((name) => (
          <label key={name} class="tick">
            <input
              type="checkbox"
              checked={chosen.includes(name)}
              onChange={(event) => onChosen(event.currentTarget.checked ? [...chosen, name] : chosen.filter((one) => one !== name))}
            />
            {name}
          </label>
        ))}
        {!shown.length && <p class="soft">{names.length ? "None is called so." : "There are none yet."}</p>}
      </div>
    </fieldset>
  );
}

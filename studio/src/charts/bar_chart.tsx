// Bars of what a metric comes to: of each run, or of the runs that share a parameter's value.

import { number } from "../format";
import { colourOf, isDark } from "../parts/chart/palette";
import { Link } from "../parts/link";
import { address } from "../router";
import { grouped } from "./coordinates";
import { titleOf, type BarsChart } from "./model";
import { keyOf, type Row } from "./rows";

interface Props {
  readonly chart: BarsChart;
  readonly rows: readonly Row[];
  readonly tones: ReadonlyMap<string, number>;
  readonly labels: ReadonlyMap<string, string>;
  readonly height: number;
}

interface Bar {
  readonly key: string;
  readonly name: string;
  readonly value: number;
  readonly note: string;
  readonly tone: number | undefined;
  readonly runId: string;
}

export function BarChart({ chart, rows, tones, labels, height }: Props) {
  const bars = barsOf(chart, rows, tones, labels);
  const [low, high] = [Math.min(0, ...bars.map((bar) => bar.value)), Math.max(0, ...bars.map((bar) => bar.value))];
  const part = (value: number) => ((value - low) / (high - low || 1)) * 100;
  return (
    <div class="bars" style={{ height: `${height + 18}px` }} tabIndex={0} role="region" aria-label={titleOf(chart)}>
      {!bars.length && <p class="soft">No run has {chart.metric}.</p>}
      <table>
        <tbody>
          {bars.map((bar) => (
            <tr key={bar.key}>
              <th scope="row">{bar.runId ? <Link to={address("runs", bar.runId)}>{bar.name}</Link> : bar.name}</th>
              <td class="bar-place">
                <span
                  class="bar-value"
                  style={{
                    left: `${part(Math.min(0, bar.value))}%`,
                    width: `${Math.max(0.3, part(Math.max(0, bar.value)) - part(Math.min(0, bar.value)))}%`,
                    background: bar.tone === undefined ? "var(--soft)" : colourOf(bar.tone, isDark.value),
                  }}
                />
              </td>
              <td class="figure" title={bar.note}>
                {number(bar.value)}
                {chart.groupBy && <span class="soft"> {bar.note}</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function barsOf(chart: BarsChart, rows: readonly Row[], tones: ReadonlyMap<string, number>, labels: ReadonlyMap<string, string>): Bar[] {
  const key = keyOf({ from: "metric", name: chart.metric, value: chart.value });
  if (chart.groupBy) {
    const groups = grouped(rows.map((row) => [row.params[chart.groupBy] ?? "not set", row.values.get(key) ?? null]));
    return groups.map(({ name, value, count }) => ({
      ...{ key: name, name, value, runId: "", tone: 0 },
      note: count === 1 ? "1 run" : `mean of ${count}`,
    }));
  }
  const found: Bar[] = [];
  for (const row of rows) {
    const value = row.values.get(key);
    if (value === null || value === undefined || !Number.isFinite(value)) continue;
    found.push({ key: row.run_id, runId: row.run_id, name: labels.get(row.run_id) ?? row.run_id, value, note: "", tone: tones.get(row.run_id) });
  }
  return found.sort((a, b) => b.value - a.value);
}

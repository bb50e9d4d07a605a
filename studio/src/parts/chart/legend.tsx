// The lines by name: a press hides one or shows it again, a double press leaves it alone in the chart.

import { toneOf, type Line } from "./lines";
import { colourOf, dashOf, isDark } from "./palette";

interface Props {
  readonly lines: readonly Line[];
  readonly hidden: ReadonlySet<string>;
  readonly onHidden: (hidden: ReadonlySet<string>) => void;
  readonly onPoint: (key: string | null) => void;
}

export function Legend({ lines, hidden, onHidden, onPoint }: Props) {
  return (
    <ul class="chart-legend" aria-label="Lines">
      {lines.map((line, place) => (
        <li key={line.key}>
          <button
            type="button"
            class="quiet"
            aria-pressed={!hidden.has(line.key)}
            title={`${line.label}. Press to hide or show it, twice to see it alone.`}
            onClick={() => onHidden(toggled(hidden, line.key))}
            onDblClick={() => onHidden(alone(lines, hidden, line.key))}
            onMouseEnter={() => onPoint(line.key)}
            onMouseLeave={() => onPoint(null)}
            onFocus={() => onPoint(line.key)}
            onBlur={() => onPoint(null)}
          >
            <Swatch tone={toneOf(line, place)} />
            <span class="chart-legend-name">{line.label}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** A line's colour and dashes. */
export function Swatch({ tone }: { tone: number }) {
  return (
    <svg class="chart-dash" width="18" height="8" aria-hidden="true">
      <line x1="0" x2="18" y1="4" y2="4" stroke={colourOf(tone, isDark.value)} stroke-width="2.5" stroke-dasharray={dashOf(tone).join(" ")} />
    </svg>
  );
}

function toggled(hidden: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const next = new Set(hidden);
  if (!next.delete(key)) next.add(key);
  return next;
}

function alone(lines: readonly Line[], hidden: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const others = lines.filter((line) => line.key !== key).map((line) => line.key);
  const isAlone = !hidden.has(key) && others.every((other) => hidden.has(other));
  return isAlone ? new Set() : new Set(others);
}

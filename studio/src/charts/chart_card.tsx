// The frame of one chart: its name, the handle that moves it, and what can be done with it.

import type { ComponentChildren } from "preact";
import { Menu, type MenuItem } from "../parts/menu";
import { useDrag } from "./drag";
import { SIZES, titleOf, type ChartSpec, type Size } from "./model";

export interface CardActions {
  readonly edit: () => void;
  readonly duplicate: () => void;
  readonly remove: () => void;
  readonly resize: (size: Size) => void;
  /** By how many places: -1 is earlier. */
  readonly moveBy: (by: number) => void;
  /** The chart takes the place of the one with this id. */
  readonly dropOn: (id: string) => void;
  readonly change: (chart: ChartSpec) => void;
}

const MOVES: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

interface Props {
  readonly chart: ChartSpec;
  readonly actions: CardActions;
  readonly children: ComponentChildren;
}

export function ChartCard({ chart, actions, children }: Props) {
  const drag = useDrag(actions.dropOn);
  const title = titleOf(chart);
  return (
    <section
      class={`chart-card ${chart.size}`}
      aria-label={title}
      data-chart={chart.id}
    >
      <header>
        <button
          type="button"
          class="quiet chart-handle"
          id={`handle-${chart.id}`}
          aria-label={`Move ${title}`}
          {...drag}
          title="Drag it to another place, or press the arrow keys"
          onKeyDown={(event) => {
            const by = MOVES[event.key];
            if (!by) return;
            event.preventDefault();
            actions.moveBy(by);
          }}
        >
          <span aria-hidden="true">⠿</span>
        </button>
        <h3 title={title}>{title}</h3>
        <Menu label={`More for ${title}`} class="quiet" items={itemsOf(chart, actions)}>
          <span aria-hidden="true">⋯</span>
        </Menu>
      </header>
      {children}
    </section>
  );
}

function itemsOf(chart: ChartSpec, actions: CardActions): MenuItem[] {
  const sizes = (Object.keys(SIZES) as Size[]).filter((size) => size !== chart.size);
  const logs = chart.kind === "lines" || chart.kind === "scatter";
  return [
    { label: "Edit", onChoose: actions.edit },
    ...(logs ? [{ label: chart.isLogY ? "Linear y axis" : "Logarithmic y axis", onChoose: () => actions.change({ ...chart, isLogY: !chart.isLogY }) }] : []),
    { label: "Duplicate", onChoose: actions.duplicate },
    ...sizes.map((size) => ({ label: `${SIZES[size]} size`, onChoose: () => actions.resize(size) })),
    { label: "Move earlier", onChoose: () => actions.moveBy(-1) },
    { label: "Move later", onChoose: () => actions.moveBy(1) },
    { label: "Remove", onChoose: actions.remove, isDangerous: true },
  ];
}

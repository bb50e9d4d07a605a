// The frame of one chart: its name, the handle that moves it, and what can be done with it.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Menu, type MenuItem } from "../parts/menu";
import { SIZES, titleOf, type ChartSpec, type Size } from "./model";

export interface CardActions {
  readonly edit: () => void;
  readonly duplicate: () => void;
  readonly remove: () => void;
  readonly resize: (size: Size) => void;
  /** By how many places: -1 is earlier. */
  readonly moveBy: (by: number) => void;
  /** Another chart was dropped on this one. */
  readonly take: (id: string) => void;
  readonly change: (chart: ChartSpec) => void;
}

const KIND = "application/x-runyard-chart";
const MOVES: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

interface Props {
  readonly chart: ChartSpec;
  readonly actions: CardActions;
  readonly children: ComponentChildren;
}

export function ChartCard({ chart, actions, children }: Props) {
  const [isOver, setOver] = useState(false);
  const title = titleOf(chart);
  return (
    <section
      class={`chart-card ${chart.size}${isOver ? " over" : ""}`}
      aria-label={title}
      onDragOver={(event) => {
        if (!event.dataTransfer?.types.includes(KIND)) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const id = event.dataTransfer?.getData(KIND);
        if (id) actions.take(id);
      }}
    >
      <header draggable onDragStart={(event) => event.dataTransfer?.setData(KIND, chart.id)}>
        <button
          type="button"
          class="quiet chart-handle"
          id={`handle-${chart.id}`}
          aria-label={`Move ${title}`}
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

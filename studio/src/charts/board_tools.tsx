// What is done with all charts at once: adding one, the x axis and smoothing of all lines, sharing, beginning anew.

import { useState } from "preact/hooks";
import { Copy } from "../parts/copy";
import { Dialog } from "../parts/dialog";
import { Menu } from "../parts/menu";
import { Choice } from "./editor_fields";
import { AXES, KINDS, MOST_SMOOTHING, type Axis, type Kind, type LinesChart } from "./model";
import { linkTo, type Charted } from "./use_charts";

export function BoardTools({ charted, onAdd }: { charted: Charted; onAdd: (kind: Kind) => void }) {
  const [isSharing, setSharing] = useState(false);
  const { charts, change } = charted;
  const lines = charts.find((chart): chart is LinesChart => chart.kind === "lines");
  const all = (changed: Partial<Pick<LinesChart, "x" | "smoothing">>) =>
    change(charts.map((chart) => (chart.kind === "lines" ? { ...chart, ...changed } : chart)));
  return (
    <>
      <div class="board-tools">
        <Menu label="Add chart" items={(Object.keys(KINDS) as Kind[]).map((kind) => ({ label: KINDS[kind], onChoose: () => onAdd(kind) }))} />
        {lines && (
          <>
            <label>
              X axis <Choice among={AXES} value={lines.x} onValue={(x: Axis) => all({ x })} />
            </label>
            <label>
              Smoothing{" "}
              <input
                type="range"
                min="0"
                max={MOST_SMOOTHING}
                step="0.01"
                value={lines.smoothing}
                onInput={(event) => all({ smoothing: event.currentTarget.valueAsNumber })}
              />
              <output class="figure">{lines.smoothing.toFixed(2)}</output>
            </label>
          </>
        )}
        <span class="grow" />
        <button type="button" class="quiet" onClick={() => setSharing(true)} disabled={!charts.length}>
          Link to these charts
        </button>
        {charted.isOwn && !charted.isLinked && (
          <button type="button" class="quiet" onClick={charted.reset}>
            Reset charts
          </button>
        )}
      </div>
      {charted.isLinked && (
        <p class="note" role="status">
          These charts came with the link. Yours are as they were. <button onClick={() => change(charts)}>Keep these as mine</button>{" "}
          <button onClick={charted.leaveLink}>Show mine</button>
        </p>
      )}
      {isSharing && <Sharing address={linkTo(charts)} onClose={() => setSharing(false)} />}
    </>
  );
}

function Sharing({ address, onClose }: { address: string; onClose: () => void }) {
  return (
    <Dialog title="Link to these charts" onClose={onClose}>
      <p>Whoever opens it sees this page with these charts, and may keep them.</p>
      <div class="fields">
        <input readOnly aria-label="Address" value={address} onFocus={(event) => event.currentTarget.select()} />
        <Copy text={address} what="address" />
      </div>
      <div class="dialog-buttons">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

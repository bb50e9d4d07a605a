// A node's samples over the last day, one chart for each thing that the node tells.

import { getSamples, type ClusterNode, type SampleAt } from "../api/compute";
import { msOf, number } from "../format";
import { useLive } from "../live";
import { Chart, type Line } from "../parts/chart";
import { EmptyNote, ErrorNote } from "../parts/notes";

const EVERY_MS = 30_000;
const DAY_NS = 24 * 3600 * 1e9;

interface Plot {
  readonly title: string;
  readonly names: readonly (readonly [name: string, label: string])[];
  readonly unit: string;
  /** How many of what the node tells make one of the unit. */
  readonly per?: number;
  readonly limits?: readonly [number | null, number | null];
}

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const PLOTS: readonly Plot[] = [
  { title: "CPU and GPU", names: [["cpu_percent", "CPU"], ["gpu_percent", "GPU"]], unit: "%", limits: [0, 100] },
  { title: "Memory", names: [["mem_used_bytes", "Memory"], ["gpu_mem_used_bytes", "GPU memory"], ["swap_used_bytes", "Swap"]], unit: "GiB", per: GIB, limits: [0, null] },
  { title: "Load", names: [["load1", "Load"]], unit: "", limits: [0, null] },
  { title: "Network", names: [["net_in_bytes_s", "Received"], ["net_out_bytes_s", "Sent"]], unit: "MiB/s", per: MIB, limits: [0, null] },
  { title: "Disks", names: [["disk_read_bytes_s", "Read"], ["disk_write_bytes_s", "Written"]], unit: "MiB/s", per: MIB, limits: [0, null] },
  { title: "Waiting (pressure)", names: [["psi_cpu_percent", "CPU"], ["psi_memory_percent", "Memory"], ["psi_io_percent", "Disks"]], unit: "%", limits: [0, null] },
];

export function Samples({ node }: { node: ClusterNode }) {
  const { data, error } = useLive(`samples/${node.node_id}`, (signal) => latest(node.node_id, signal), EVERY_MS);
  if (!data) return error ? <ErrorNote>{error.message}</ErrorNote> : <div class="booting" />;
  const shown = PLOTS.map((plot) => ({ plot, lines: linesOf(plot, data) })).filter(({ lines }) => lines.length);
  if (!shown.length) {
    return (
      <EmptyNote title="No samples yet">
        <p>A node is sampled every minute while its agent runs, unless the setting agent.sample_s is 0.</p>
      </EmptyNote>
    );
  }
  return (
    <div class="node-charts">
      {shown.map(({ plot, lines }) => (
        <div key={plot.title}>
          <h3>
            {plot.title} {plot.unit && <span class="soft">({plot.unit})</span>}
          </h3>
          <Chart
            title={plot.title}
            lines={lines}
            xIs="time"
            height={160}
            cursorKey={`node/${node.node_id}`}
            formatY={(value) => `${number(value)} ${plot.unit}`.trim()}
            {...(plot.limits ? { yLimits: plot.limits } : {})}
            hasLegend={lines.length > 1}
          />
        </div>
      ))}
    </div>
  );
}

async function latest(nodeId: string, signal: AbortSignal): Promise<readonly SampleAt[]> {
  return getSamples(nodeId, Math.round(Date.now() * 1e6 - DAY_NS), signal);
}

function linesOf(plot: Plot, samples: readonly SampleAt[]): readonly Line[] {
  const xs = samples.map(([atNs]) => msOf(atNs));
  return plot.names.flatMap(([name, label]) => {
    const ys = samples.map(([, values]) => values[name]).map((value) => (value === undefined ? null : value / (plot.per ?? 1)));
    return ys.some((value) => value !== null) ? [{ key: name, label, xs, ys }] : [];
  });
}

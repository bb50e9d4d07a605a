// The charts of what a run used: which lines each has, made of samples. Pure.

import { drawn, gapOf, type Points, ratesOf, type Sample, type Value, valuesOf } from "./telemetry";

export interface OfNode {
  readonly id: string;
  readonly label: string;
  readonly samples: readonly Sample[];
  /** The distance of blocks where only those were read; otherwise 0. */
  readonly sampledMs: number;
}

export interface UsageLine extends Points {
  readonly key: string;
  readonly label: string;
}

export interface Usage {
  readonly title: string;
  readonly unit: string;
  readonly isShare: boolean;
  readonly lines: readonly UsageLine[];
}

type Make = typeof ratesOf;

const MOST_LINES = 64;
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];

/** The lines in the unit of bytes that their greatest value asks for. */
function inBytes(title: string, lines: UsageLine[], perSecond = ""): Usage {
  const most = lines.reduce((all, { ys }) => ys.reduce<number>((most, y) => Math.max(most, y ?? 0), all), 0);
  const power = Math.min(BYTES.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, most)) / 10)));
  const scaled = lines.map((line) => ({ ...line, ys: line.ys.map((y) => (y === null ? null : y / 1024 ** power)) }));
  return { title, unit: BYTES[power]! + perSecond, isShare: false, lines: scaled };
}

/** Charts that have something to show between two times. */
export function usageOf(nodes: readonly OfNode[], byProcess: boolean, from: number, to: number): Usage[] {
  const line = (node: OfNode, key: string, label: string, value: Value, of: Make = valuesOf): UsageLine => ({
    key: `${node.id} ${key}`,
    label: nodes.length > 1 ? [node.label, label].filter(Boolean).join(" ") : label || node.label,
    ...drawnOf(node, value, of, from, to),
  });
  const each = (make: (node: OfNode) => UsageLine[]) => nodes.flatMap(make).filter((one) => one.xs.length).slice(0, MOST_LINES);
  const perNode = (value: Value) => each((node) => [line(node, "", "", value)]);
  const perGpu = (key: "percent" | "mem_used_bytes" | "power_w") =>
    each((node) => gpusOf(node).map((gpu) => line(node, `gpu ${gpu}`, `GPU ${gpu}`, (one) => one.gpus?.find((g) => g.gpu === gpu)?.[key])));
  const perRank = (key: "cpu_s" | "mem_bytes", of: Make = valuesOf) =>
    each((node) => ranksOf(node).map((rank) => line(node, `rank ${rank}`, `rank ${rank}`, (one) => ofRank(one, rank)?.[key], of)));
  const both = (pairs: readonly (readonly [string, Value])[], of: Make = valuesOf) =>
    each((node) => pairs.map(([label, value]) => line(node, label, label, value, of)));
  const plain = (title: string, unit: string, lines: UsageLine[]): Usage => ({ title, unit, lines, isShare: unit === "%" });
  const cores = (one: Sample) => (one.cpu_percent === undefined ? undefined : one.cpu_percent / 100);
  const disk = both([["read", (one) => one.read_bytes], ["written", (one) => one.write_bytes]], ratesOf);
  const network = both([["in", (one) => one.node?.["net_in_bytes_s"]], ["out", (one) => one.node?.["net_out_bytes_s"]]]);
  const all = [
    plain("CPU of the run", "cores", byProcess ? perRank("cpu_s", ratesOf) : perNode(cores)),
    inBytes("Memory of the run", byProcess ? perRank("mem_bytes") : perNode((one) => one.mem_bytes)),
    plain("GPU utilisation", "%", perGpu("percent")),
    inBytes("GPU memory", perGpu("mem_used_bytes")),
    plain("GPU power", "W", perGpu("power_w")),
    inBytes("Disk of the run", disk, "/s"),
    inBytes("Network of the node", network, "/s"),
    plain("CPU of the node", "%", perNode((one) => one.node?.["cpu_percent"])),
    inBytes("Memory of the node", perNode((one) => one.node?.["mem_used_bytes"])),
  ];
  return all.filter((one) => one.lines.length);
}

function drawnOf(node: OfNode, value: Value, of: Make, from: number, to: number): Points {
  const gapMs = gapOf(node.samples, node.sampledMs);
  return drawn(of(node.samples, value, gapMs), from, to, gapMs);
}

function ofRank(sample: Sample, rank: number) {
  return sample.ranks?.find((one) => one.rank === rank);
}

/** GPUs may be seen late, and ranks come and go: some samples over the whole time are looked at. */
function seenIn<T>(samples: readonly Sample[], of: (sample: Sample) => readonly T[]): T[] {
  const step = Math.max(1, Math.floor(samples.length / 50));
  const found = new Set<T>();
  samples.forEach((sample, at) => {
    if (at % step === 0 || at === samples.length - 1) for (const one of of(sample)) found.add(one);
  });
  return [...found];
}

function gpusOf({ samples }: OfNode): number[] {
  return seenIn(samples, (one) => one.gpus?.map(({ gpu }) => gpu) ?? []).sort((a, b) => a - b);
}

function ranksOf({ samples }: OfNode): number[] {
  return seenIn(samples, (one) => one.ranks?.map(({ rank }) => rank) ?? []).sort((a, b) => a - b);
}

/** From the first sample to the last one, in ms. */
export function reach(nodes: readonly OfNode[]): [number, number] | null {
  const times = nodes.flatMap(({ samples }) => [samples[0], samples.at(-1)].filter((one) => one !== undefined)).map((one) => one.wall_ns / 1e6);
  return times.length ? [Math.min(...times), Math.max(...times)] : null;
}

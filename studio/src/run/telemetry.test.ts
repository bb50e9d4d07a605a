import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawn, gapOf, parseLines, ratesOf, type Sample, valuesOf } from "./telemetry";
import { usageOf } from "./usage";

const S = 1e9;
const sample = (s: number, more: Partial<Sample> = {}): Sample => ({ wall_ns: s * S, ...more });

describe("telemetry", () => {
  it("is read line by line, and what is no whole line is passed over", () => {
    const text = '{"wall_ns":1,"cpu_percent":5}\n{"wall_ns":2,"event":"xid","xid":79}\n{"wall_ns":3,"cp\n[]\n{"wall_ns":"x"}\n';
    expect(parseLines(text)).toEqual({ samples: [{ wall_ns: 1, cpu_percent: 5 }], xids: [{ wall_ns: 2, event: "xid", xid: 79 }] });
  });

  it("of any text gives only what has a time", () => {
    fc.assert(fc.property(fc.string(), (text) => parseLines(text).samples.every((one) => typeof one.wall_ns === "number")));
  });

  it("leaves out what a sample does not tell, and is never 0 instead", () => {
    expect(valuesOf([sample(1, { mem_bytes: 5 }), sample(2)], (one) => one.mem_bytes)).toEqual({ xs: [1000], ys: [5] });
  });

  it("makes rates of what grows; nothing where it fell, and nothing across a silence", () => {
    const read = [0, 10, 30, 5, 6].map((read_bytes, at) => sample(at === 4 ? 100 : at * 5, { read_bytes }));
    expect(ratesOf(read, (one) => one.read_bytes, 15_000).ys).toEqual([2, 4, null, null]);
  });

  it("shows a silence as a gap", () => {
    const samples = [0, 5, 10, 80, 85].map((s) => sample(s, { mem_bytes: s }));
    const shown = drawn(valuesOf(samples, (one) => one.mem_bytes), 0, 1e6, gapOf(samples, 0));
    expect(shown.ys).toEqual([0, 5, 10, null, 80, 85]);
  });

  it("becomes means where there is more than can be drawn, over all of the time", () => {
    const samples = Array.from({ length: 20_000 }, (_, at) => sample(at * 5, { mem_bytes: 7 }));
    const shown = drawn(valuesOf(samples, (one) => one.mem_bytes), 0, 100_000_000, 500_000);
    expect(shown.xs.length).toBeLessThan(500);
    expect(new Set(shown.ys)).toEqual(new Set([7]));
    expect(shown.xs.at(-1)).toBeGreaterThan(99_000_000);
  });
});

describe("the charts of a run's use", () => {
  const samples = [0, 5, 10].map((s) =>
    sample(s, { mem_bytes: 3 * 2 ** 30, ranks: [{ rank: 2, cpu_s: s, mem_bytes: 2 ** 20 }], node: { cpu_percent: 50 } }),
  );
  const node = { id: "a", label: "10.0.0.1", samples, sampledMs: 0 };

  it("are those that have something to show, in a unit that suits", () => {
    const all = usageOf([node], false, 0, 10_000).map(({ title, unit, lines }) => [title, unit, lines[0]?.ys]);
    expect(all).toEqual([
      ["Memory of the run", "GiB", [3, 3, 3]],
      ["CPU of the node", "%", [50, 50, 50]],
    ]);
  });

  it("may be per process", () => {
    const [cpu, memory] = usageOf([node], true, 0, 10_000);
    expect([cpu?.title, cpu?.lines[0]?.label, cpu?.lines[0]?.ys]).toEqual(["CPU of the run", "rank 2", [1, 1]]);
    expect([memory?.unit, memory?.lines[0]?.ys]).toEqual(["MiB", [1, 1, 1]]);
  });
});

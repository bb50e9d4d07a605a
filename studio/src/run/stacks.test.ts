import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groups, newest, parse, type RankStacks, splitName } from "./stacks";

const TEXT = `Stacks of rank 3 on node abc, taken 2026-09-21T14:13:20.123Z
reason: rank 3 has written nothing for 600 s
request: 2

process 7 (py-spy): python train.py
  thread MainThread
    read (data.py:41)
    train (train.py:88)
  thread Thread-3
    wait (threading.py:1)

process 8 (py-spy): worker
  thread MainThread
    get (queue.py:2)
`;

describe("stacks", () => {
  it("are read from a file", () => {
    const found = parse(TEXT);
    expect(found).toMatchObject({ rank: 3, request: 2, reason: "rank 3 has written nothing for 600 s" });
    expect(found?.processes.map((one) => one.threads.length)).toEqual([2, 1]);
    expect(found?.processes[0]?.threads[0]?.frames).toEqual(["read (data.py:41)", "train (train.py:88)"]);
  });

  it("of any text are either none or those of a rank", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parse(text);
        const found = parse(TEXT + text);
        expect(found?.rank).toBe(3);
      }),
    );
  });

  it("that are equal stand together, main threads first", () => {
    const other = (rank: number): RankStacks => ({ ...parse(TEXT)!, rank });
    const all = groups([other(5), other(0), parse(TEXT.replace("data.py:41", "data.py:42"))!]);
    expect(all[0]).toEqual({ place: "main thread", frames: ["read (data.py:41)", "train (train.py:88)"], ranks: [0, 5] });
    expect(all[1]).toMatchObject({ place: "main thread", ranks: [3] });
    expect(all.at(-1)).toMatchObject({ place: "thread Thread-#", ranks: [0, 3, 5] });
  });

  it("are the newest of each rank, of this attempt", () => {
    const name = (at: string, rank: number) => `10.0.0.1/logs/azureml/stacks/abc/${at}-rank${rank}.txt`;
    const paths = [name("2026-09-21T141320.1Z", 0), name("2026-09-21T141420.1Z", 0), name("2026-09-21T141320.1Z", 1)];
    const later = "attempts/1/logs/azureml/stacks/abc/2026-09-22T141320.1Z-rank0.txt";
    expect([...newest([...paths, later, "logs/other.txt"], 0)]).toEqual([
      [0, paths[1]],
      [1, paths[2]],
    ]);
    expect(splitName(later)).toEqual({ attempt: 1, taken: "2026-09-22T141320.1Z", rank: 0 });
  });
});

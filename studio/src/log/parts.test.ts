import fc from "fast-check";
import { describe as group, expect, test } from "vitest";
import { describe, type Described, type FileOfRun, firstToRead, grouped, indexPath, type Verdict } from "./files";
import { labelOf, labelPattern } from "./labels";
import { stampAt, stampsBetween, stampsOf } from "./timeindex";
import { levelOf, tracebacksOf } from "./tracebacks";
import { goalOf, localOf, momentOf, ranksOf, wanted, wishOf } from "./wish";

group("labels", () => {
  test("are read as the collector writes them", () => {
    expect(labelOf("[10.77.0.12 rank 3] text")).toMatchObject({ node: "10.77.0.12", rank: 3, length: 20 });
    expect(labelOf("[10.77.0.12 log 65 attempt 1 late] text")).toMatchObject({ rank: null, what: "log 65", attempt: 1, isLate: true });
    expect(labelOf("[n rank 3 part gap 4096] ")).toMatchObject({ isPart: true, gapBytes: 4096 });
    expect(labelOf("[INFO] text")).toBeNull();
  });

  test("are found again by the pattern of their ranks", () => {
    const pattern = new RegExp(labelPattern([3, 5], []));
    expect(pattern.test("[10.77.0.12 rank 3] x")).toBe(true);
    expect(pattern.test("[10.77.0.12 rank 33] x")).toBe(false);
    expect(pattern.test("[10.77.0.12 rank 5 late] x")).toBe(true);
    expect(new RegExp(labelPattern([], ["10.0.0.1"])).test("[10.0.001 rank 0] x")).toBe(false);
  });
});

group("tracebacks", () => {
  const rows = (text: string, key = "") => text.split("\n").map((line) => ({ key, text: line }));

  test("go from their head to what was raised", () => {
    const [one] = tracebacksOf(rows('before\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: no\nafter'));
    expect(one).toEqual({ rows: [1, 2, 3, 4], title: "ValueError: no" });
  });

  test("that led to one another are one", () => {
    const text = 'Traceback (most recent call last):\n  File "a"\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File "b"\nx.y.MyError: two';
    expect(tracebacksOf(rows(text))).toEqual([{ rows: [0, 1, 2, 3, 4, 5, 6, 7, 8], title: "x.y.MyError: two" }]);
  });

  test("of several ranks do not mix", () => {
    const a = rows("Traceback (most recent call last):\n  File\nKeyError: a", "0");
    const b = rows("Traceback (most recent call last):\n  File\nKeyError: b", "1");
    const mixed = a.flatMap((row, at) => [row, b[at] ?? row]);
    expect(tracebacksOf(mixed).map((one) => one.title)).toEqual(["KeyError: a", "KeyError: b"]);
    expect(tracebacksOf(mixed)[0]?.rows).toEqual([0, 2, 4]);
  });

  test("may be cut anywhere", () => {
    const text = 'Traceback (most recent call last):\n  File "a"\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File "b"\nE: two';
    fc.assert(
      fc.property(fc.nat(8), fc.nat(8), (from, to) => {
        for (const one of tracebacksOf(rows(text).slice(from, to))) expect(one.rows.length).toBeGreaterThan(0);
      }),
    );
  });

  test("and levels are told by a line's words", () => {
    expect(levelOf("ValueError: no")).toBe("error");
    expect(levelOf("2026-01-01 ERROR something")).toBe("error");
    expect(levelOf("UserWarning: deprecated")).toBe("warning");
    expect(levelOf("error rate 0.3, 0 errors")).toBe("");
  });
});

group("the time index", () => {
  const record = (end: number, ms: number, source: number) => {
    const view = new DataView(new ArrayBuffer(32));
    view.setBigUint64(0, BigInt(end), true);
    view.setBigInt64(8, BigInt(ms) * 1000000n, true);
    view.setUint8(24, source);
    return new Uint8Array(view.buffer);
  };

  test("says when the bytes of any range came, with few reads", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 4000 }), fc.nat(), fc.nat(2000), async (count, from, length) => {
        const index = new Uint8Array(32 * count);
        for (let at = 0; at < count; at += 1) index.set(record((at + 1) * 10, at, 1 + (at % 2)), at * 32);
        const start = count ? from % (count * 10) : 0;
        let reads = 0;
        const read = (first: number, last: number) => {
          reads += 1;
          return Promise.resolve(index.slice(first, last));
        };
        const stamps = await stampsBetween(read, index.length, start, start + length);
        for (let at = start; at < Math.min(start + length, count * 10); at += 7) {
          expect(stampAt(stamps, at)).toEqual({ end: Math.floor(at / 10) * 10 + 10, ms: Math.floor(at / 10), source: Math.floor(at / 10) % 2 ? "stderr" : "stdout" });
        }
        expect(reads).toBeLessThan(12);
      }),
    );
  });

  test("has no half records", () => {
    expect(stampsOf(new Uint8Array(40)).length).toBe(1);
  });
});

function file(path: string, folder = "", bytes = 100): Described {
  const name = folder ? path.slice(folder.length + 1) : path;
  const one: FileOfRun = { path, name, folder, bytes, node_id: "n", is_sealed: true, modified_ns: 0, gaps: [], removed_ns: null };
  return describe(one);
}

group("files", () => {
  test("stand in the order of the phases", () => {
    const names = ["outputs/a.bin", "logs/azureml/110_azureml.log", "azureml-logs/75_job_post-n.txt", "azureml-logs/70_driver_log_10.txt", "azureml-logs/70_driver_log_2.txt",
      "azureml-logs/55_azureml-execution-n.txt", "azureml-logs/65_job_prep-n.txt", "azureml-logs/process_info.json", "azureml-logs/20_image_build_log.txt"];
    const [one] = grouped(names.map((name) => file(name)));
    expect(one?.files.map((each) => each.title.slice(0, 16))).toEqual(["20_image_build_l", "55_azureml-execu", "65_job_prep-n.tx", "70_driver_log_2.", "70_driver_log_10", "75_job_post-n.tx", "process_info.jso", "logs/azureml/110", "outputs/a.bin"]);
  });

  test("the one that tells of the failure is read first", () => {
    const files = [0, 1, 2, 3].map((rank) => file(`10.0.0.${rank}/azureml-logs/70_driver_log_${rank}.txt`, `10.0.0.${rank}`));
    const evidence = [{ rank: 3, node: "10.0.0.3", what: "its exception", log: "azureml-logs/70_driver_log_3.txt", start: 42 }];
    const verdict: Verdict = { is_decided: true, rank: 3, node_id: "n", sentence: "", evidence };
    expect(firstToRead(files, verdict)).toEqual({ path: "10.0.0.3/azureml-logs/70_driver_log_3.txt", at: 42 });
    expect(firstToRead(files, { ...verdict, evidence: [] })?.path).toContain("70_driver_log_3");
    expect(firstToRead(files, undefined)?.path).toContain("70_driver_log_0");
    expect(firstToRead([], undefined)).toBeNull();
  });

  test("have their index where capture leaves it", () => {
    expect(indexPath(file("azureml-logs/70_driver_log.txt").file)).toBe(".runyard/index/azureml-logs/70_driver_log.txt.idx");
    expect(indexPath(file("10.0.0.1/attempts/2/azureml-logs/70_driver_log_3.txt", "10.0.0.1").file)).toBe("10.0.0.1/attempts/2/.runyard/index/azureml-logs/70_driver_log_3.txt.idx");
    expect(indexPath(file("outputs/a.txt").file)).toBeNull();
  });
});

group("what is asked", () => {
  test("stands in the address", () => {
    const wish = wishOf(new URLSearchParams("q=oom&in=run&rank=0,2-3&level=error"));
    const files = [0, 1, 2, 3].map((rank) => file(`azureml-logs/70_driver_log_${rank}.txt`));
    const asked = wanted(wish, files[0], files);
    expect(asked?.files).toEqual([0, 2, 3].map((rank) => `azureml-logs/70_driver_log_${rank}.txt`));
    expect(asked?.conditions.map((one) => one.is_regex)).toEqual([false, true]);
    expect(wanted(wishOf(new URLSearchParams()), files[0], files)).toBeNull();
    expect(ranksOf("0, 3 5-7,x")).toEqual([0, 3, 5, 6, 7]);
  });

  test("is of the same moments wherever the address is opened", () => {
    const files = [file("azureml-logs/70_driver_log_0.txt")];
    const wish = wishOf(new URLSearchParams("since=1767600000000&until=2026-01-05T09:00Z"));
    expect(wanted(wish, files[0], files)).toMatchObject({ since_ns: 1767600000000 * 1e6, until_ns: Date.UTC(2026, 0, 5, 9) * 1e6 });
    expect(wanted(wishOf(new URLSearchParams("since=&until=soon")), files[0], files)).toBeNull();
    for (const ms of [1767600000000, 1782900005000]) expect(momentOf(localOf(ms))).toBe(ms);
  });

  test("leads to a line, a share, a byte or a time", () => {
    expect(goalOf("120", 0)).toEqual({ kind: "line", value: 120 });
    expect(goalOf("50%", 0)).toEqual({ kind: "share", value: 0.5 });
    expect(goalOf("@4096", 0)).toEqual({ kind: "byte", value: 4096 });
    const day = new Date(2026, 0, 5, 8).getTime();
    expect(goalOf("12:30:05", day)).toEqual({ kind: "time", value: new Date(2026, 0, 5, 12, 30, 5).getTime() });
    expect(goalOf("nowhere", day)).toBeNull();
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rowsOf } from "../act/pair_rows";
import { shownCommand } from "../run/what";
import { bytesOf, secondsOf, sizeText, spanText } from "./amounts";
import { wordsOf } from "./command";
import { again, EMPTY, freshRunId, submissionOf } from "./draft";

describe("a command", () => {
  test("that is shown is read back as the same words", () => {
    fc.assert(fc.property(fc.array(fc.string()), (words) => void expect(wordsOf(shownCommand(words))).toEqual(words)));
  });
  test("is parted as a shell parts it", () => {
    expect(wordsOf(`python train.py --lr 0.1 --name "a b" 'c"d' e\\ f ""`)).toEqual(["python", "train.py", "--lr", "0.1", "--name", "a b", 'c"d', "e f", ""]);
    expect(wordsOf("python \\\n  train.py")).toEqual(["python", "train.py"]);
  });
  test("that is not closed is told", () => {
    expect(() => wordsOf("echo 'x")).toThrow("not closed");
    expect(() => wordsOf("echo \\")).toThrow("backslash");
  });
});

test("amounts are read back as they are shown", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 45 }), (bytes) => void expect(bytesOf("Memory", sizeText(bytes))).toBe(bytes)));
  fc.assert(fc.property(fc.integer({ min: 0, max: 10 ** 8 }), (seconds) => void expect(secondsOf("Time", spanText(seconds))).toBe(seconds)));
  expect(() => secondsOf("Time limit", "soon")).toThrow("Time limit: soon is no length of time");
  expect(() => bytesOf("Memory", "lots")).toThrow("Memory: lots is no size");
});

describe("a draft", () => {
  const order = {
    cluster: "lab",
    order: {
      spec: {
        command: ["python", "train.py"],
        env: { DEPTH: "3", API_KEY: "" },
        tags: { team: "a" },
        code: "/home/ada/code",
        cwd: "sub",
        datastores: [{ name: "d", url: "s3://bucket" }],
        environment: { kind: "container", image: "", containerfile: "/c/Containerfile", context: "/c" },
        limits: { driver_s: 7200, image_s: 60 },
        distribution: { kind: "pytorch", processes_per_node: 4, on_failure: "wait" },
      },
      snapshot: { id: "0".repeat(64), size_bytes: 10, files: 1 },
      user: "ada",
    },
    node_count: 2,
    request: { gpus: 4, cpus: 8, memory_bytes: 2 ** 34 },
    priority: 5,
    max_queue_s: 3600,
    retries: 1,
    withheld: ["API_KEY"],
  } as const;

  test("of an earlier run asks for the same, with what the form does not show", () => {
    const draft = { ...again(EMPTY, order), env: rowsOf({ DEPTH: "3", API_KEY: "typed" }) };
    const { spec, snapshot } = submissionOf(draft, "r").order;
    expect(spec).toMatchObject({
      ...order.order.spec,
      env: { DEPTH: "3", API_KEY: "typed" },
      resources: { gpus: "4", cpus: 8, memory: "16g" },
      distribution: { kind: "pytorch", processes_per_node: 4, on_failure: "wait", node_count: 2 },
    });
    expect(snapshot).toEqual(order.order.snapshot);
    expect(submissionOf(draft, "r")).toMatchObject({ node_count: 2, request: order.request, priority: 5, max_queue_s: 3600, retries: 1 });
  });
  test("wants a withheld value to be typed again", () => {
    expect(() => submissionOf(again(EMPTY, order), "r")).toThrow("The value of API_KEY may be a secret");
  });
  test("tells which field cannot be read", () => {
    expect(() => submissionOf({ ...EMPTY, gpus: "-1" }, "r")).toThrow("GPUs has to be a whole number");
    expect(() => submissionOf({ ...EMPTY, env: rowsOf({ "": "x" }) }, "r")).toThrow("no name");
  });
});

test("ids are those that the collector takes", () => {
  expect(freshRunId("digits", 1_790_000_000_123, new Uint8Array([1, 2, 254, 255]))).toBe("digits_1790000000_0102feff");
  expect(freshRunId("two words", 0, new Uint8Array(4))).toBe("run_0_00000000");
  expect(freshRunId("x".repeat(200), 0, new Uint8Array(4))).toHaveLength(128);
});

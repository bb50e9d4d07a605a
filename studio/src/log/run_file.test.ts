import { afterEach, describe, expect, test, vi } from "vitest";
import { PAGE_BYTES, RunFile } from "./run_file";
import { LogWindow } from "./window";

afterEach(() => vi.unstubAllGlobals());

/** A collector that has this one file. */
function serve(file: Uint8Array): void {
  vi.stubGlobal("fetch", (_url: string, init: { headers: { Range: string } }) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(init.headers.Range) ?? [];
    const headers = { "Content-Range": `bytes ${from}-${to}/${file.length}` };
    if (Number(from) >= file.length) return Promise.resolve(new Response(null, { status: 416, headers }));
    return Promise.resolve(new Response(file.slice(Number(from), Number(to) + 1), { status: 206, headers }));
  });
}

function linesOf(bytes: number): Uint8Array {
  const width = 64;
  const text = Array.from({ length: bytes / width }, (_, at) => `line ${at}`.padEnd(width - 1) + "\n").join("");
  return new TextEncoder().encode(text);
}

describe("a file that is read by pages", () => {
  test("gives all bytes that were asked for, however many pages were read before", async () => {
    const data = linesOf(200 * PAGE_BYTES + 4096);
    serve(data);
    const file = new RunFile("/file");
    for (let at = 10; at < 106; at += 1) await file.read(at * PAGE_BYTES, (at + 1) * PAGE_BYTES);
    const ends = [9, 104, 8, 200].map((page) => page * PAGE_BYTES);
    for (const start of ends) {
      const { bytes } = await file.read(start, start + 2 * PAGE_BYTES);
      expect(bytes.length).toBe(Math.min(2 * PAGE_BYTES, data.length - start));
      expect(Buffer.compare(bytes, data.subarray(start, start + bytes.length))).toBe(0);
    }
  });

  test("has every line once, with its number, when one scrolls down 8 MiB and up again", async () => {
    const data = linesOf(8 << 20);
    serve(data);
    const file = new RunFile("/file");
    const window = new LogWindow((start, end, signal) => file.read(start, end, signal), () => undefined);
    window.size = data.length;
    await window.jump(0);
    const check = () => {
      expect(window.error).toBeUndefined();
      expect(window.rows.findIndex((row, at) => at > 0 && row.start !== window.rows[at - 1]?.end)).toBe(-1);
      expect(window.firstLine).toBe(1 + window.start / 64);
    };
    while (!window.isAtEnd) {
      await window.extendDown();
      check();
    }
    while (!window.isAtStart) {
      await window.extendUp();
      check();
    }
  });

  test("keeps nothing of what it was before it became another file", async () => {
    serve(linesOf(2 * PAGE_BYTES));
    const file = new RunFile("/file");
    const reading = file.read(0, PAGE_BYTES);
    file.forget();
    await reading;
    const other = new Uint8Array(2 * PAGE_BYTES).fill(120);
    serve(other);
    expect(Buffer.compare((await file.read(0, PAGE_BYTES)).bytes, other.subarray(0, PAGE_BYTES))).toBe(0);
  });
});

test("rows that would leave a hole before those below are not shown", async () => {
  const data = linesOf(1 << 20);
  let isShort = false;
  const window = new LogWindow(
    (start, end) => Promise.resolve({ bytes: data.slice(start, isShort ? end - 1000 : end), size: data.length }),
    () => undefined,
  );
  window.size = data.length;
  await window.jumpToEnd();
  const { start } = window;
  isShort = true;
  await window.extendUp();
  expect(window.start).toBe(start);
  expect(window.error).toBeDefined();
  isShort = false;
  await window.extendUp();
  expect(window.start).toBeLessThan(start);
  expect(window.error).toBeUndefined();
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LogWindow, MOST_ROWS } from "./window";

/** A window on bytes that may grow. */
class Opened {
  bytes: Uint8Array;
  read = 0;
  readonly window: LogWindow;

  constructor(text: string) {
    this.bytes = new TextEncoder().encode(text);
    this.window = new LogWindow(
      (start, end) => {
        this.read += Math.min(end, this.bytes.length) - start;
        return Promise.resolve({ bytes: this.bytes.slice(start, end), size: this.bytes.length });
      },
      () => undefined,
    );
    this.window.size = this.bytes.length;
  }

  grow(text: string, isFollowed: boolean): Promise<void> {
    const more = new TextEncoder().encode(text);
    const bytes = new Uint8Array(this.bytes.length + more.length);
    bytes.set(this.bytes);
    bytes.set(more, this.bytes.length);
    this.bytes = bytes;
    return this.window.grown(bytes.length, isFollowed);
  }

  /** The rows follow each other, and are what lies in the file there. */
  check(): void {
    const { rows } = this.window;
    const wrong = rows.filter(
      (row, at) =>
        (at > 0 && row.start !== rows[at - 1]?.end) ||
        row.startsLine !== (row.start === 0 || this.bytes[row.start - 1] === 10) ||
        (row.endsLine && this.bytes[row.end - 1] !== 10),
    );
    expect(wrong).toEqual([]);
    expect(rows.length).toBeLessThanOrEqual(MOST_ROWS + 400);
    const { firstLine } = this.window;
    if (firstLine !== undefined) expect(firstLine).toBe(1 + this.bytes.subarray(0, this.window.start).filter((byte) => byte === 10).length);
  }

  get last(): string {
    return new TextDecoder().decode(this.window.rows.at(-1)?.data);
  }
}

const lines = (count: number, from = 0) => Array.from({ length: count }, (_, at) => `line ${from + at}\n`).join("");

describe("a window on a file", () => {
  test("opens anywhere with few bytes", async () => {
    const opened = new Opened(lines(500_000));
    await opened.window.jumpToEnd();
    expect(opened.last).toBe("line 499999");
    await opened.window.jump(3_000_000);
    opened.check();
    expect(opened.window.start).toBeLessThanOrEqual(3_000_000);
    expect(opened.window.end).toBeGreaterThan(3_000_000);
    expect(opened.read).toBeLessThan(800_000);
  });

  test("stays at the end of a file that grows, even by a line that is not whole yet", async () => {
    const opened = new Opened(lines(100));
    await opened.window.jumpToEnd();
    await opened.grow("half a li", true);
    expect(opened.last).toBe("half a li");
    await opened.grow("ne\n" + lines(20_000, 100), true);
    opened.check();
    expect(opened.last).toBe("line 20099");
  });

  test("keeps its place where the file grows and nobody follows", async () => {
    const opened = new Opened(lines(100_000));
    await opened.window.jump(0);
    await opened.grow(lines(100_000), false);
    expect(opened.window.start).toBe(0);
    expect(opened.window.isAtEnd).toBe(false);
  });

  test("is true after any steps", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("jump" as const), to: fc.nat() }),
      fc.record({ kind: fc.constantFrom("up" as const, "down" as const, "end" as const), to: fc.constant(0) }),
      fc.record({ kind: fc.constantFrom("grow" as const, "follow" as const), to: fc.nat(30_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.boolean(), async (steps, hasLong) => {
        const opened = new Opened(lines(3000) + (hasLong ? "x".repeat(200_000) + "\n" : "") + lines(3000));
        await opened.window.jump(0);
        for (const { kind, to } of steps) {
          if (kind === "jump") await opened.window.jump(to % opened.bytes.length);
          else if (kind === "up") await opened.window.extendUp();
          else if (kind === "down") await opened.window.extendDown();
          else if (kind === "end") await opened.window.jumpToEnd();
          else await opened.grow("y".repeat(to) + (to % 3 ? "\n" : ""), kind === "follow");
          opened.check();
        }
        while (!opened.window.isAtEnd) await opened.window.extendDown();
        opened.check();
        expect(opened.window.end).toBe(opened.bytes.length);
      }),
      { numRuns: 40 },
    );
  });
});

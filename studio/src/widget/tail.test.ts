import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { before, endOf, joined, type Kept, MOST, rowsOfKept } from "./tail";

const text = new TextEncoder();

function part(whole: Uint8Array, start: number, end: number, path = "log"): Kept {
  return { path, generation: 0, start, startsLine: true, bytes: whole.subarray(start, end), gaps: [] };
}

describe("the end of a log in a notebook", () => {
  it("is always a piece of the file that ends where the kernel's does", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.array(fc.tuple(fc.nat(200), fc.nat(200))), fc.integer({ min: 1, max: 64 }), (whole, spans, most) => {
        let kept: Kept | null = null;
        let last = 0;
        for (const [one, other] of spans) {
          const end = Math.max(last, Math.min(whole.length, Math.max(one, other)));
          last = end;
          const now = part(whole, Math.min(one, other, end), end);
          kept = joined(kept, now, most);
          expect(kept.start).toBeLessThanOrEqual(now.start);
          expect([...kept.bytes]).toEqual([...whole.subarray(kept.start, end)]);
        }
      }),
    );
  });

  it("goes on with another file or generation from nothing", () => {
    const whole = text.encode("one\ntwo\nthree\n");
    const kept = part(whole, 0, 8);
    expect(joined(kept, part(whole, 8, 14, "other"), MOST).start).toBe(8);
    expect(joined(kept, { ...part(whole, 8, 14), generation: 1 }, MOST).start).toBe(8);
  });

  it("takes earlier bytes only where they join on", () => {
    const whole = text.encode("one\ntwo\nthree\n");
    const kept = part(whole, 8, 14);
    expect(new TextDecoder().decode(before(kept, 0, whole.subarray(0, 8)).bytes)).toBe("one\ntwo\nthree\n");
    expect(before(kept, 0, whole.subarray(0, 4))).toBe(kept);
  });

  it("keeps the lines before a gap, and goes on behind it", () => {
    const whole = text.encode("one\ntw............three\n");
    const gaps = [[6, 18]] as const;
    const bytes = text.encode("one\ntwthree\n");
    const kept = joined(part(whole, 0, 6), { ...part(whole, 0, 0), bytes, gaps }, MOST);
    expect(endOf(kept)).toBe(24);
    expect(rowsOfKept(kept, []).map((row) => [row.start, new TextDecoder().decode(row.data), row.startsLine])).toEqual([
      [0, "one", true],
      [4, "tw", true],
      [18, "three", false],
    ]);
    const later = joined(kept, part(text.encode(" ".repeat(24) + "four\n"), 18, 29), MOST);
    expect([endOf(later), later.start, later.gaps]).toEqual([29, 0, gaps]);
  });

  it("gives the same rows where nothing has changed", () => {
    const whole = text.encode("one\ntwo\nthr");
    const rows = rowsOfKept(part(whole, 0, 8), []);
    const more = rowsOfKept(part(whole, 0, 11), rows);
    expect(more.slice(0, 2).every((row, at) => row === rows[at])).toBe(true);
    expect(more.map((row) => row.endsLine)).toEqual([true, true, false]);
  });
});

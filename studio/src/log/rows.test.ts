import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fold, LOOK_BACK_BYTES, PIECE_BYTES, type Row, rowsOf, rowStart } from "./rows";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Bytes with lines of all lengths, among them such as are cut, and characters of several bytes. */
const file = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 60 }).map(bytesOf),
      fc.integer({ min: 0, max: 3 * PIECE_BYTES }).map((length) => new Uint8Array(length).fill(120)),
      fc.integer({ min: 0, max: PIECE_BYTES }).map((length) => bytesOf("日".repeat(length))),
      fc.constant(bytesOf("\n")),
      fc.constant(bytesOf("\r\n")),
      fc.uint8Array({ maxLength: 40 }),
    ),
    { maxLength: 8 },
  )
  .map((pieces) => {
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    pieces.reduce((at, piece) => {
      bytes.set(piece, at);
      return at + piece.length;
    }, 0);
    return bytes;
  });

function places(rows: readonly Row[]): number[] {
  return rows.map((row) => row.start);
}

describe("rows", () => {
  test("cover every byte once, in order", () => {
    fc.assert(
      fc.property(file, (bytes) => {
        const rows = rowsOf(bytes, 0, true, true);
        let at = 0;
        for (const row of rows) {
          expect(row.start).toBe(at);
          expect(row.end).toBeGreaterThan(row.start);
          expect(row.end - row.start).toBeLessThanOrEqual(2 * PIECE_BYTES + 4);
          at = row.end;
        }
        expect(at).toBe(bytes.length);
      }),
    );
  });

  test("are the same, wherever one comes from", () => {
    fc.assert(
      fc.property(file, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (bytes, share) => {
        fc.pre(bytes.length > 0);
        const all = rowsOf(bytes, 0, true, true);
        const at = Math.floor(share * bytes.length);
        const base = Math.max(0, at - LOOK_BACK_BYTES);
        const found = rowStart(bytes.subarray(base, at + 4), base, at);
        expect(places(all)).toContain(found.start);
        expect(found.start).toBeLessThanOrEqual(at);
        const from = all.findIndex((row) => row.start === found.start);
        expect(found.startsLine).toBe(all[from]?.startsLine);
        const rest = rowsOf(bytes.subarray(found.start), found.start, found.startsLine, true);
        expect(places(rest)).toEqual(places(all.slice(from)));
      }),
    );
  });

  test("are the same, however much of the file is there", () => {
    fc.assert(
      fc.property(file, fc.nat(), (bytes, cut) => {
        const there = bytes.subarray(0, cut % (bytes.length + 1));
        const rows = rowsOf(there, 0, true, false);
        expect(places(rows)).toEqual(places(rowsOf(bytes, 0, true, true).slice(0, rows.length)));
      }),
    );
  });

  test("end without their newline and its carriage return", () => {
    const rows = rowsOf(bytesOf("a\r\nb\n\nc"), 10, true, true);
    expect(rows.map((row) => textOf(row.data))).toEqual(["a", "b", "", "c"]);
    expect(rows.map((row) => [row.start, row.end, row.endsLine])).toEqual([
      [10, 13, true],
      [13, 15, true],
      [15, 16, true],
      [16, 17, false],
    ]);
  });
});

describe("progress bars", () => {
  test("are left with their last state", () => {
    expect(textOf(fold(bytesOf("10%\r20%\r100%")).shown)).toBe("100%");
    expect(fold(bytesOf("10%\r20%\r100%")).states).toBe(3);
    expect(textOf(fold(bytesOf("100%\r")).shown)).toBe("100%");
    expect(textOf(fold(bytesOf("\r\r")).shown)).toBe("");
    expect(fold(bytesOf("no bar"))).toEqual({ shown: bytesOf("no bar"), states: 1 });
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode } from "./decode";
import { display, plainText } from "./display";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const shown = (text: string) => display(text, Infinity).pieces;
// What does something instead of being seen: controls, and what turns the direction of writing.
const ACTIVE = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;

/** Text as logs have it: words, colours, controls. */
const logText = fc
  .array(fc.oneof(fc.string({ unit: "binary", maxLength: 12 }), fc.constantFrom("\x1b[31m", "\x1b[0m", "\x1b[2J", "\x1b]0;title\x07", "\x1b", "\x1b[", "\u202e", "\x00", "\x07", "😀", "é")), { maxLength: 12 })
  .map((pieces) => pieces.join(""));

describe("bytes as text", () => {
  test("lose nothing that is UTF-8", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme" }), (text) => void expect(decode(bytesOf(text))).toBe(text)));
  });

  test("keep each byte that is none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const back: number[] = [];
        for (const one of decode(bytes)) {
          const code = one.codePointAt(0) ?? 0;
          if (code >= 0xdc80 && code <= 0xdcff) back.push(code - 0xdc00);
          else back.push(...bytesOf(one));
        }
        expect(back).toEqual([...bytes]);
      }),
    );
  });
});

describe("what is drawn", () => {
  test("does nothing", () => {
    fc.assert(
      fc.property(logText, (text) => {
        for (const piece of shown(text)) expect(piece.text).not.toMatch(ACTIVE);
        expect(plainText(text)).not.toMatch(ACTIVE);
      }),
    );
  });

  test("is the text itself where that is plain", () => {
    fc.assert(fc.property(fc.stringMatching(/^[a-zA-Z0-9 <>&"'\t\/äöü日本😀]*$/u), (text) => void expect(plainText(text)).toBe(text)));
  });

  test("has the colours of the terminal's sequences", () => {
    expect(shown("\x1b[1;31mbad\x1b[0m good")).toEqual([
      { text: "bad", style: { isBold: true, ink: 1 } },
      { text: " good", style: {} },
    ]);
    expect(shown("\x1b[38;5;9mx")[0]?.style).toEqual({ ink: 9 });
    expect(shown("\x1b[38;2;255;80;80mx")[0]?.style).toEqual({ ink: 9 });
    expect(shown("\x1b[48;5;196mx")[0]?.style.ground).toBeDefined();
    expect(shown("\x1b[7mx\x1b[27my").map((piece) => piece.style.isInverse)).toEqual([true, false]);
  });

  test("leaves out what moves a cursor, and shows what carries text", () => {
    expect(plainText("a\x1b[2Kb\x1b[1;1Hc")).toBe("abc");
    expect(plainText("\x1b]0;your title\x07x")).toBe("ESC]0;your titlex");
    expect(plainText("\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\")).toContain("http://evil/");
    expect(plainText("a\x07b\x00")).toBe("a\\x07b\\x00");
    expect(plainText("\x1b[31")).toBe("ESC[31");
  });

  test("shows what turns the direction of writing, and bytes that are no text, as marks", () => {
    expect(plainText("user\u202e\u2066nimda")).toBe("userU+202EU+2066nimda");
    expect(plainText(decode(new Uint8Array([0x61, 0xff, 0x62])))).toBe("a\\xffb");
    expect(plainText("שלום")).toBe("שלום");
  });

  test("is cut where it was asked to be, and says how much is left", () => {
    expect(display("a".repeat(50), 20)).toEqual({ pieces: [{ text: "a".repeat(20), style: {} }], cut: 30 });
  });

  test("takes little time, whatever comes", () => {
    const began = performance.now();
    for (const piece of ["\x1b[", "\x1b]", "\x1b[1;", "\x00", "\u202e", "\x1b[31m", "\ud800"]) display(piece.repeat(30_000), Infinity);
    expect(performance.now() - began).toBeLessThan(3000);
  });
});

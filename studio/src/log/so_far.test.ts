import { describe, expect, test } from "vitest";
import type { FileCount } from "./found";
import { summary } from "./results";
import { hasGrownSince, noteOf } from "./so_far";
import { NOTHING } from "./use_search";

const told: FileCount = { path: "a", count: 0, searched: 2048, size: 2048, is_done: true, is_passed_over: false };

describe("what is said of a search", () => {
  test("claims that there is no such line only of what was searched", () => {
    expect(noteOf(NOTHING, told, 0, 2048)).toBe("No line of this file is such a line.");
    expect(noteOf(NOTHING, told, 0, 4096)).toBe("No line of the first 2.0 KiB is such a line; more has been written since.");
    expect(noteOf(NOTHING, told, 3, 4096)).toBe("These are from the first 2.0 KiB; more has been written since.");
    expect(noteOf(NOTHING, told, 3, 2048)).toBe("");
    expect(noteOf({ ...NOTHING, isRunning: true }, told, 0, 4096)).toBe("");
  });

  test("says that the time was over, that it has failed, or what was wrong with it", () => {
    const part = { ...told, is_done: false, searched: 1024 };
    expect(noteOf({ ...NOTHING, why: "time" }, part, 0, 2048)).toBe("The time for a search was over when the first 1.0 KiB had been read.");
    expect(noteOf({ ...NOTHING, why: "failed" }, part, 0, 2048)).toContain("failed");
    expect(summary({ ...NOTHING, why: "failed" }, 0)).toContain("failed");
    expect(noteOf({ ...NOTHING, error: "no regular expression" }, undefined, 0, 2048)).toBe("no regular expression");
  });

  test("says that a file was passed over, not that it has no such line", () => {
    const passed = { ...told, is_passed_over: true };
    expect(noteOf(NOTHING, passed, 0, 4096)).toContain("have no times");
    expect(hasGrownSince(NOTHING, passed, 4096)).toBe(false);
    expect(summary({ ...NOTHING, counts: new Map([["a", passed]]) }, 0)).toBe("Nothing found; the lines of 1 file have no times, so it was passed over");
  });
});

// How far a search of one file went, in words. Pure.

import { bytes } from "../format";
import type { FileCount } from "./found";
import type { Searched } from "./use_search";

/** Whether the file has `size` bytes by now, and the search, which is over, has ended with fewer. */
export function hasGrownSince(searched: Searched, told: FileCount | undefined, size: number): boolean {
  return !searched.isRunning && told !== undefined && told.is_done && !told.is_passed_over && told.size < size;
}

/** Why `count` lines of a file of `size` bytes may not be all; "" where they are, or while it is searched. */
export function noteOf(searched: Searched, told: FileCount | undefined, count: number, size: number): string {
  if (searched.error) return searched.error;
  if (searched.isRunning) return "";
  if (told?.is_passed_over) return "The lines of this file have no times: it is not known when they came, nor from which stream.";
  if (!told?.is_done && searched.why) return why(searched.why, told);
  if (!told) return "This file was not searched.";
  if (hasGrownSince(searched, told, size)) {
    const part = `the first ${bytes(told.size)}`;
    return count ? `These are from ${part}; more has been written since.` : `No line of ${part} is such a line; more has been written since.`;
  }
  return count ? "" : "No line of this file is such a line.";
}

function why(reason: string, told: FileCount | undefined): string {
  if (reason === "failed") return "The search has failed before all was read.";
  return `The time for a search was over when the first ${bytes(told?.searched ?? 0)} had been read.`;
}

// Lengths of time, sizes and counts as people type them. Pure; each throws BadText with a sentence.

import { BadText } from "./command";

const SECONDS: Record<string, number> = { "": 1, s: 1, m: 60, h: 3600, d: 86400 };
const BYTES: Record<string, number> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** "2h" is 7200; empty is 0. */
export function secondsOf(what: string, text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*([smhd]?)$/.exec(text.trim().toLowerCase());
  if (!text.trim()) return 0;
  if (!found) throw new BadText(`${what}: ${text.trim()} is no length of time; write it as 90s, 30m, 2h or 1d.`);
  return Number(found[1]) * (SECONDS[found[2] ?? ""] ?? 1);
}

/** "8g" is 8589934592; empty is 0. */
export function bytesOf(what: string, text: string): number {
  const found = /^([1-9]\d{0,14})([bkmg])$/.exec(text.trim().toLowerCase());
  if (!text.trim()) return 0;
  if (!found) throw new BadText(`${what}: ${text.trim()} is no size; write a whole number with b, k, m or g, as in 512m or 8g.`);
  return Number(found[1]) * (BYTES[found[2] ?? "b"] ?? 1);
}

/** The size in the largest unit that divides it; empty for 0. */
export function sizeText(bytes: number): string {
  if (!bytes) return "";
  const unit = ["g", "m", "k"].find((one) => bytes % (BYTES[one] ?? 1) === 0) ?? "b";
  return `${bytes / (BYTES[unit] ?? 1)}${unit}`;
}

export function spanText(seconds: number): string {
  if (!seconds) return "";
  const unit = ["d", "h", "m"].find((one) => seconds % (SECONDS[one] ?? 1) === 0) ?? "s";
  return `${seconds / (SECONDS[unit] ?? 1)}${unit}`;
}

export function wholeOf(what: string, text: string, least: number, most: number): number {
  const value = Number(text.trim() || "0");
  if (!Number.isInteger(value) || value < least || value > most) throw new BadText(`${what} has to be a whole number from ${least} to ${most}.`);
  return value;
}

export function numberOf(what: string, text: string): number {
  const value = Number(text.trim() || "0");
  if (!Number.isFinite(value) || value < 0 || value > 1e6) throw new BadText(`${what} has to be a number from 0 on.`);
  return value;
}

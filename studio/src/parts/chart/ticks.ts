// Where the marks of an axis stand and what is written at them: numbers, logarithms, durations and times of day. Pure.

import { number } from "../../format";

const S = 1000;
const MINUTE = 60 * S;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const DURATIONS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((ms) => ms),
  ...[1, 2, 5, 10, 15, 30].map((s) => s * S),
  ...[1, 2, 5, 10, 15, 30].map((m) => m * MINUTE),
  ...[1, 2, 3, 6, 12].map((h) => h * HOUR),
];
const MOST_MARKS = 200;

/** Whole multiples of 1, 2 or 5 times a power of ten, at most `most` of them, and no closer than `least` to each other. */
export function linearTicks(from: number, to: number, most: number, least = 0): number[] {
  const rough = Math.max(least, (to - from) / Math.max(1, most));
  if (!(rough > 0)) return [];
  const power = Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * 10 ** power >= rough * (1 - 1e-9)) ?? 10;
  return multiples(from, to, step, power);
}

function multiples(from: number, to: number, step: number, power: number): number[] {
  // Counting in whole steps keeps 0.1 + 0.2 from becoming 0.30000000000000004.
  const scale = power < 0 ? 10 ** -power : 1;
  const width = power < 0 ? step : step * 10 ** power;
  const found: number[] = [];
  const end = Math.floor((to * scale) / width + 1e-9);
  for (let count = Math.ceil((from * scale) / width - 1e-9); count <= end && found.length < MOST_MARKS; count++) {
    found.push((count * width) / scale + 0); // and 0 is never -0
  }
  return found;
}

/** Powers of ten, with what lies between them where there is room; of less than a decade, linear ones. */
export function logTicks(from: number, to: number, most: number): number[] {
  const decades = Math.log10(to / from);
  if (decades < 1) return linearTicks(from, to, most).filter((value) => value > 0);
  const factors = decades * 9 <= most ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : decades * 3 <= most ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / Math.max(1, most)));
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++) {
    if (power % every) continue;
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (value >= from * (1 - 1e-9) && value <= to * (1 + 1e-9)) found.push(value);
    }
  }
  return found;
}

/** Multiples of lengths of time that people count in; all in milliseconds. */
export function durationTicks(from: number, to: number, most: number): number[] {
  const rough = (to - from) / Math.max(1, most);
  if (rough > 12 * HOUR) return linearTicks(from / DAY, to / DAY, most).map((days) => days * DAY);
  const step = DURATIONS.find((one) => one >= rough) ?? DAY;
  const found: number[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to && found.length < MOST_MARKS; at += step) found.push(at);
  return found;
}

/** Full seconds, minutes, hours and days of the reader's zone, in milliseconds since 1970. */
export function timeTicks(from: number, to: number, most: number): number[] {
  const rough = (to - from) / Math.max(1, most);
  const step = DURATIONS.find((one) => one >= rough);
  if (step === undefined) return dayTicks(from, to, Math.max(1, Math.ceil(rough / DAY)));
  const zone = new Date(from).getTimezoneOffset() * MINUTE;
  const found: number[] = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to && found.length < MOST_MARKS; at += step) found.push(at);
  return found;
}

function dayTicks(from: number, to: number, days: number): number[] {
  const found: number[] = [];
  const day = new Date(from);
  day.setHours(0, 0, 0, 0);
  while (day.getTime() <= to && found.length < MOST_MARKS) {
    if (day.getTime() >= from) found.push(day.getTime());
    day.setDate(day.getDate() + days);
  }
  return found;
}

/** What is written at a number. */
export function numberLabel(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9 || (size && size < 1e-4)) return value.toExponential().replace("e+", "e");
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(6))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(6))}k`;
  return number(value);
}

/** What is written at a duration in milliseconds: 90 s is 1:30, an hour and a half 1:30:00. */
export function durationLabel(ms: number): string {
  const sign = ms < 0 ? "−" : "";
  const size = Math.abs(ms);
  if (size < 1000) return size ? `${sign}${Math.round(size)} ms` : "0";
  const s = Math.round(size / 1000);
  if (s < 60) return `${sign}${s} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (s < 3600) return `${sign}${Math.floor(s / 60)}:${two(s % 60)}`;
  if (s < 86400 * 2) return `${sign}${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`;
  return `${sign}${Number((s / 86400).toFixed(1))} d`;
}

/** What is written at each of some times: the day only where it is another than the one before. */
export function timeLabels(times: readonly number[]): string[] {
  const gap = times.length > 1 ? times[1]! - times[0]! : MINUTE;
  let before = "";
  return times.map((at) => {
    const date = new Date(at);
    const day = date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
    if (gap >= DAY) return day;
    const clock = date.toLocaleTimeString(undefined, clockOf(gap));
    const isNew = day !== before;
    before = day;
    return isNew ? `${clock}\n${day}` : clock;
  });
}

function clockOf(gap: number): Intl.DateTimeFormatOptions {
  const minutes = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
  if (gap >= MINUTE) return minutes;
  return gap >= S ? { ...minutes, second: "2-digit" } : { ...minutes, second: "2-digit", fractionalSecondDigits: 3 };
}

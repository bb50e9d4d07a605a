// Reads telemetry files by byte ranges: whole ones as they grow, and of very long ones blocks at even distances.

import { ApiError, apiUrl, getRange } from "../api/client";
import { runPath } from "../api/run";
import { type Lines, parseLines, type Sample, type Xid } from "./telemetry";

const FIRST_BYTES = 256 << 10;
const BLOCK_BYTES = 32 << 10;

export interface Reading {
  readonly samples: readonly Sample[];
  readonly xids: readonly Xid[];
  /** Up to here whole lines were read; what follows has not come yet. */
  readonly end: number;
  /** Where blocks begin, if only blocks were read: [ms, byte]. */
  readonly blocks: readonly (readonly [number, number])[];
}

const NOTHING: Reading = { samples: [], xids: [], end: 0, blocks: [] };

export function fileUrl(runId: string, path: string): string {
  return apiUrl(`${runPath(runId)}/files/${path.split("/").map(encodeURIComponent).join("/")}`);
}

/** What is there by now; `known` is what was there before. At most about `most` bytes are read. Null: there is no such file. */
export async function grown(url: string, known: Reading | null, most: number, signal: AbortSignal): Promise<Reading | null> {
  if (known) return appended(url, known, most, signal);
  try {
    const { bytes, size } = await getRange(url, 0, FIRST_BYTES, signal);
    if (size > most) return await sampled(url, 0, size, most, signal);
    const first = added(NOTHING, bytes);
    return size > bytes.length ? await appended(url, first, most, signal) : first;
  } catch (error) {
    if (error instanceof ApiError && [404, 410].includes(error.status)) return null;
    throw error;
  }
}

async function appended(url: string, known: Reading, most: number, signal: AbortSignal): Promise<Reading> {
  // The newline before comes along: a range that is behind the end would be refused.
  const { bytes } = await getRange(url, Math.max(0, known.end - 1), known.end + most, signal);
  return added(known, known.end ? bytes.subarray(1) : bytes);
}

/** Blocks between two bytes, as many as may be read. */
async function sampled(url: string, from: number, to: number, most: number, signal: AbortSignal): Promise<Reading> {
  const count = Math.max(2, Math.floor(most / BLOCK_BYTES));
  const step = (to - from - BLOCK_BYTES) / (count - 1);
  let reading: Reading = NOTHING;
  for (let at = 0; at < count; at += 1) {
    const start = Math.round(from + at * step);
    const { bytes } = await getRange(url, start, start + BLOCK_BYTES, signal);
    const lines = linesWithin(bytes, start === 0);
    const time = lines.samples[0]?.wall_ns;
    reading = {
      samples: [...reading.samples, ...lines.samples],
      xids: [...reading.xids, ...lines.xids],
      end: start + bytes.lastIndexOf(10) + 1,
      blocks: time === undefined ? reading.blocks : [...reading.blocks, [time / 1e6, start]],
    };
  }
  return reading;
}

/** All that lies between two times of a file of which only blocks were read. */
export async function between(url: string, known: Reading, from: number, to: number, most: number, signal: AbortSignal): Promise<Reading> {
  const start = known.blocks.findLast(([ms]) => ms <= from)?.[1] ?? 0;
  const end = known.blocks.find(([ms]) => ms > to)?.[1] ?? known.end;
  if (end - start > most) return sampled(url, start, end, most, signal);
  const { bytes } = await getRange(url, start, end + BLOCK_BYTES, signal);
  const lines = linesWithin(bytes, start === 0);
  return { ...lines, end, blocks: [] };
}

function added(known: Reading, bytes: Uint8Array): Reading {
  const whole = bytes.lastIndexOf(10) + 1;
  if (!whole) return known;
  const { samples, xids } = parseLines(new TextDecoder().decode(bytes.subarray(0, whole)));
  return { ...known, samples: [...known.samples, ...samples], xids: [...known.xids, ...xids], end: known.end + whole };
}

function linesWithin(bytes: Uint8Array, isStart: boolean): Lines {
  const first = isStart ? 0 : bytes.indexOf(10) + 1;
  return parseLines(new TextDecoder().decode(bytes.subarray(first, bytes.lastIndexOf(10) + 1)));
}

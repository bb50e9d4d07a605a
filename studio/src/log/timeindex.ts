// The time index of a log, as runyard/timeindex.py writes it: which bytes came when, and to which of stdout and stderr.
// Reads through a function of its caller; pure apart from that.

export const RECORD_BYTES = 32;

export interface Stamp {
  /** Bytes up to `end` came … */
  readonly end: number;
  /** … then, in Unix milliseconds, */
  readonly ms: number;
  /** from there. */
  readonly source: "stdout" | "stderr" | "both";
}

const SOURCES = ["both", "stdout", "stderr", "both"] as const;

/** All whole records of `data`. */
export function stampsOf(data: Uint8Array): Stamp[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const stamps: Stamp[] = [];
  for (let at = 0; at + RECORD_BYTES <= data.byteLength; at += RECORD_BYTES) {
    const ms = Number(view.getBigInt64(at + 8, true) / 1000n) / 1000;
    stamps.push({ end: Number(view.getBigUint64(at, true)), ms, source: SOURCES[view.getUint8(at + 24)] ?? "both" });
  }
  return stamps;
}

/** The stamp of the byte at `position`; undefined where none of `stamps` covers it. */
export function stampAt(stamps: readonly Stamp[], position: number): Stamp | undefined {
  return stamps[firstBehind(stamps.length, (number) => (stamps[number]?.end ?? 0) > position)];
}

export type Read = (start: number, end: number) => Promise<Uint8Array>;

/** The stamps of bytes [start, end) of the log, out of `bytes` bytes of index: a few reads, however long it is. */
export async function stampsBetween(read: Read, bytes: number, start: number, end: number): Promise<Stamp[]> {
  const count = Math.floor(bytes / RECORD_BYTES);
  let low = 0;
  let high = count;
  while (high - low > 256) {
    const middle = Math.floor((low + high) / 2);
    const [stamp] = stampsOf(await read(middle * RECORD_BYTES, (middle + 1) * RECORD_BYTES));
    if (!stamp || stamp.end > start) high = middle;
    else low = middle + 1;
  }
  const stamps: Stamp[] = [];
  for (let at = low; at < count && (stamps.at(-1)?.end ?? 0) < end; at += 1024) {
    stamps.push(...stampsOf(await read(at * RECORD_BYTES, Math.min(count, at + 1024) * RECORD_BYTES)));
  }
  return stamps.filter((stamp, at) => stamp.end > start && (stamps[at - 1]?.end ?? start) <= end);
}

function firstBehind(count: number, isBehind: (number: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBehind(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

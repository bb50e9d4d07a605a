// Bytes as text of which nothing is lost: UTF-8, and each byte that is none as a half character U+DC80 to U+DCFF, as Python's
// surrogateescape has it. Pure.

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text; `display` shows its half characters as bytes. */
export function decode(data: Uint8Array): string {
  try {
    return STRICT.decode(data);
  } catch {
    return decodeSlowly(data);
  }
}

function decodeSlowly(data: Uint8Array): string {
  const pieces: string[] = [];
  let good = 0;
  let position = 0;
  while (position < data.length) {
    const length = characterLength(data, position);
    if (length) {
      position += length;
      continue;
    }
    if (position > good) pieces.push(STRICT.decode(data.subarray(good, position)));
    pieces.push(String.fromCharCode(0xdc00 + (data[position] ?? 0)));
    position += 1;
    good = position;
  }
  if (position > good) pieces.push(STRICT.decode(data.subarray(good, position)));
  return pieces.join("");
}

/** Bytes of the character at `at`; 0 where there is none. */
function characterLength(data: Uint8Array, at: number): number {
  const first = data[at] ?? 0;
  if (first < 0x80) return 1;
  const length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (!length || at + length > data.length) return 0;
  for (let next = 1; next < length; next += 1) if (((data[at + next] ?? 0) & 0xc0) !== 0x80) return 0;
  const second = data[at + 1] ?? 0;
  const isOverlong = (first === 0xe0 && second < 0xa0) || (first === 0xf0 && second < 0x90);
  const isNone = (first === 0xed && second > 0x9f) || (first === 0xf4 && second > 0x8f);
  return isOverlong || isNone ? 0 : length;
}

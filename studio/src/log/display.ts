// Text of a log as what is drawn: pieces with a style, and marks in place of what would do something instead of being seen. Pure.
//
// Of a terminal's sequences only colours and weights (SGR) are followed. Those that move the cursor or clear show nothing; those that carry
// text (titles, links) are shown with it. Control characters, bytes that are no UTF-8 and characters that turn the direction of writing,
// or that nobody can see, are marks.

export interface Style {
  readonly ink?: number; // 0 to 15
  readonly ground?: number;
  readonly isBold?: boolean;
  readonly isDim?: boolean;
  readonly isItalic?: boolean;
  readonly isUnderlined?: boolean;
  readonly isStruck?: boolean;
  readonly isInverse?: boolean;
}

export interface Piece {
  readonly text: string;
  readonly style: Style;
  /** What it stands for, where it stands for something that is not shown as it is. */
  readonly meaning?: string;
}

export interface Display {
  readonly pieces: readonly Piece[];
  /** So many characters more are there than were asked for. */
  readonly cut: number;
}

const PLAIN: Style = {};
/** So many pieces of a row are drawn each for itself where marks are among them; a file that is no text has thousands. */
const MOST_MARKED = 24;

const SPECIAL =
  /\x1b\[([0-?]*)([ -/]*)([@-~])|\x1b([\]PX^_])([^\x07\x1b]*)(?:\x07|\x1b\\)?|\x1b[ -/]*[0-OQ-WYZ\\`-~]|[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ud800-\udfff]/;

/** The first `most` characters of `text`; the rest is told of in `cut`. */
export function display(text: string, most: number): Display {
  const isCut = text.length > most;
  const shown = isCut ? text.slice(0, most) : text;
  const pieces = SPECIAL.test(shown) ? fewer(piecesOf(shown)) : shown ? [{ text: shown, style: PLAIN }] : [];
  return { pieces, cut: isCut ? text.length - most : 0 };
}

function fewer(pieces: Piece[]): Piece[] {
  const rest = pieces.slice(MOST_MARKED);
  if (!rest.some((piece) => piece.meaning)) return pieces;
  const text = rest.map((piece) => piece.text).join("");
  return [...pieces.slice(0, MOST_MARKED), { text, style: PLAIN, meaning: "text, and bytes or characters that are not shown as they are" }];
}

/** What is drawn, as plain text: to be copied, or looked at for what it says. */
export function plainText(text: string): string {
  return SPECIAL.test(text)
    ? piecesOf(text)
        .map((piece) => piece.text)
        .join("")
    : text;
}

function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  const special = new RegExp(SPECIAL.source, "g");
  let style = PLAIN;
  let position = 0;
  for (let match = special.exec(text); match; match = special.exec(text)) {
    if (isPair(text, match.index)) {
      special.lastIndex = match.index + 2;
      continue;
    }
    if (match.index > position) pieces.push({ text: text.slice(position, match.index), style });
    position = special.lastIndex;
    if (match[3] === "m" && !match[2]) style = styled(style, match[1] ?? "");
    else if (!match[3]) addMark(pieces, markOf(match, style));
  }
  if (position < text.length) pieces.push({ text: text.slice(position), style });
  return pieces;
}

/** Many marks of one kind in a row are one piece. */
function addMark(pieces: Piece[], mark: Piece): void {
  const last = pieces.at(-1);
  if (last && last.meaning === mark.meaning && last.style === mark.style) pieces[pieces.length - 1] = { ...last, text: last.text + mark.text };
  else pieces.push(mark);
}

function isPair(text: string, at: number): boolean {
  const first = text.charCodeAt(at);
  const second = text.charCodeAt(at + 1);
  return first >= 0xd800 && first < 0xdc00 && second >= 0xdc00 && second < 0xe000;
}

function markOf(match: RegExpExecArray, style: Style): Piece {
  const [whole] = match;
  if (match[4]) return { text: `ESC${match[4]}${visible(match[5] ?? "")}`, style, meaning: "a terminal's command that carries text" };
  if (whole.length > 1) return { text: `ESC${whole.slice(1)}`, style, meaning: "a terminal's command" };
  return { text: characterMark(whole.charCodeAt(0)), style, meaning: meaningOf(whole.charCodeAt(0)) };
}

function visible(text: string): string {
  return text.replace(new RegExp(SPECIAL.source, "g"), (found, ...rest) => {
    const at = rest.find((one): one is number => typeof one === "number") ?? 0;
    return isPair(text, at) || isPair(text, at - 1) ? found : [...found].map((one) => characterMark(one.charCodeAt(0))).join("");
  });
}

function characterMark(code: number): string {
  if (code === 0x1b) return "ESC";
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

function meaningOf(code: number): string {
  if (code >= 0xdc80 && code <= 0xdcff) return "a byte that is no UTF-8";
  if (code < 0xa0) return "a control character";
  return "a character that cannot be seen, or that turns the direction of writing";
}

/** The style after the numbers of one SGR sequence. */
export function styled(before: Style, parameters: string): Style {
  let style = before;
  const numbers = parameters.split(/[;:]/).map((one) => (one ? Number(one) : 0));
  for (let at = 0; at < numbers.length; at += 1) {
    const number = numbers[at] ?? 0;
    if (number === 38 || number === 48) {
      const { color, used } = wide(numbers, at + 1);
      if (color !== undefined) style = { ...style, [number === 38 ? "ink" : "ground"]: color };
      at += used;
    } else style = simple(style, number);
  }
  return style;
}

function simple(style: Style, number: number): Style {
  if (number === 0) return PLAIN;
  if (number === 1) return { ...style, isBold: true };
  if (number === 2) return { ...style, isDim: true };
  if (number === 3) return { ...style, isItalic: true };
  if (number === 4) return { ...style, isUnderlined: true };
  if (number === 7) return { ...style, isInverse: true };
  if (number === 9) return { ...style, isStruck: true };
  if (number === 22) return { ...style, isBold: false, isDim: false };
  if (number === 23) return { ...style, isItalic: false };
  if (number === 24) return { ...style, isUnderlined: false };
  if (number === 27) return { ...style, isInverse: false };
  if (number === 29) return { ...style, isStruck: false };
  if (number >= 30 && number <= 37) return { ...style, ink: number - 30 };
  if (number >= 90 && number <= 97) return { ...style, ink: number - 82 };
  if (number >= 40 && number <= 47) return { ...style, ground: number - 40 };
  if (number >= 100 && number <= 107) return { ...style, ground: number - 92 };
  if (number === 39) return without(style, "ink");
  if (number === 49) return without(style, "ground");
  return style;
}

function without(style: Style, name: "ink" | "ground"): Style {
  const { [name]: _, ...rest } = style;
  return rest;
}

/** A color of 256 or of millions, as the nearest of the 16 that can be read in both themes. */
function wide(numbers: readonly number[], at: number): { color?: number; used: number } {
  if (numbers[at] === 5) return { color: ofPalette(numbers[at + 1] ?? 0), used: 2 };
  if (numbers[at] !== 2) return { used: 0 };
  return { color: nearest(numbers[at + 1] ?? 0, numbers[at + 2] ?? 0, numbers[at + 3] ?? 0), used: 4 };
}

function ofPalette(number: number): number {
  if (number < 16) return number;
  if (number >= 232) return nearest(...gray(number - 232));
  const cube = Math.min(215, number - 16);
  const level = (digit: number) => (digit ? 55 + 40 * digit : 0);
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function gray(step: number): [number, number, number] {
  const level = 8 + 10 * Math.min(23, step);
  return [level, level, level];
}

const SIXTEEN: readonly (readonly [number, number, number])[] = [
  [0, 0, 0], [170, 0, 0], [0, 150, 0], [170, 100, 0], [0, 0, 200], [160, 0, 160], [0, 150, 160], [180, 180, 180],
  [90, 90, 90], [255, 85, 85], [85, 255, 85], [255, 255, 85], [85, 85, 255], [255, 85, 255], [85, 255, 255], [255, 255, 255],
];

function nearest(red: number, green: number, blue: number): number {
  let best = 0;
  let least = Infinity;
  SIXTEEN.forEach(([r, g, b], number) => {
    const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
    if (distance < least) [best, least] = [number, distance];
  });
  return best;
}

// The colours of lines: eight that people tell apart who do not see all colours, dark enough on white and light enough on dark;
// behind the eighth they come again with dashes.

export { isDark } from "../scheme";

const LIGHT = ["#0067b0", "#c24a00", "#00805c", "#a8408a", "#8a6a00", "#2a93d5", "#7a3fc4", "#5b6470"];
const DARK = ["#5ab4f0", "#ff8f4d", "#2fc99a", "#f09bd0", "#e8cf4a", "#9ddcff", "#b99aff", "#b3bcc8"];
const DASHES: readonly (readonly number[])[] = [[], [6, 3], [2, 3], [9, 3, 2, 3]];

export function colourOf(tone: number, onDark: boolean): string {
  const colours = onDark ? DARK : LIGHT;
  return colours[tone % colours.length]!;
}

export function dashOf(tone: number): readonly number[] {
  return DASHES[Math.floor(tone / LIGHT.length) % DASHES.length]!;
}

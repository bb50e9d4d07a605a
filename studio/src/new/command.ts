// A command as one types it in a shell, and as the list of its words. Pure.

export class BadText extends Error {}

/** The words of a line: blanks part them, quotes and backslashes keep them together. Nothing is looked up or expanded. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const one = line[at] ?? "";
    if (quote === "'") {
      if (one === "'") quote = "";
      else word += one;
    } else if (one === "\\") {
      const next = line[(at += 1)];
      if (next === undefined) throw new BadText("The command ends with a backslash; take it out, or write what it stands before.");
      if (next === "\n") continue; // the line goes on below
      const isPlain = quote === '"' && !'"\\$`'.includes(next);
      word = (word ?? "") + (isPlain ? one : "") + next;
    } else if (quote) {
      if (one === '"') quote = "";
      else word += one;
    } else if (one === "'" || one === '"') {
      quote = one;
      word ??= "";
    } else if (/\s/.test(one)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? "") + one;
  }
  if (quote) throw new BadText(`The command has a ${quote} that is not closed.`);
  if (word !== null) words.push(word);
  return words;
}

// What the browser's tab, its history and a screen reader call the page. Pure.

const NAMES: Readonly<Record<string, string>> = { login: "Log in", new: "New run" };

/** From the parts of the address, the nearest first: "logs · bert-7 · Runs · Runyard". */
export function titleOf([first = "runs", ...rest]: readonly string[], isLoggedIn = true): string {
  if (!isLoggedIn) return `${NAMES["login"]} · Runyard`;
  const name = NAMES[first] ?? first.charAt(0).toUpperCase() + first.slice(1);
  return [...rest.toReversed(), name, "Runyard"].join(" · ");
}

// Where charts are kept: by experiment in this browser, or in a link that others can open.

import { parseCharts, type ChartSpec } from "./model";
import type { Charts } from "./arrangement";

const keyOf = (experiment: string) => `runyard.charts.${experiment}`;

/** The charts that this browser keeps for the experiment; undefined: none were made. */
export function readKept(experiment: string): ChartSpec[] | undefined {
  const text = localStorage.getItem(keyOf(experiment));
  return text === null ? undefined : parseCharts(text);
}

/** Keeps them; undefined forgets them. */
export function keep(experiment: string, charts: Charts | undefined): void {
  if (charts === undefined) localStorage.removeItem(keyOf(experiment));
  else localStorage.setItem(keyOf(experiment), JSON.stringify(charts));
}

/** The charts as a word of an address. */
export function packed(charts: Charts): string {
  const bytes = new TextEncoder().encode(JSON.stringify(charts));
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The charts of such a word; undefined where it is none. */
export function unpacked(word: string): ChartSpec[] | undefined {
  try {
    const binary = atob(word.replaceAll("-", "+").replaceAll("_", "/"));
    return parseCharts(new TextDecoder().decode(Uint8Array.from(binary, (one) => one.charCodeAt(0))));
  } catch {
    return undefined;
  }
}

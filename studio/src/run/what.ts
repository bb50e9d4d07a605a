// What a run is, in words. Pure.

import type { RunInFull } from "../api/run";
import { span } from "../format";

const SAFE = /^[\w@%+=:,./-]+$/;

/** The command as a shell takes it. */
export function shownCommand(words: readonly string[]): string {
  return words.map((word) => (SAFE.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`)).join(" ");
}

/** Where and how it runs, as far as is known. */
export function environmentOf(run: RunInFull): Record<string, string> {
  const found: Record<string, string> = {};
  const environment = run.properties["runyard.environment"];
  if (environment) found["Environment"] = environment;
  if (run.cwd) found["Folder"] = run.cwd;
  if (run.user) found["Started by"] = run.hostname ? `${run.user} at ${run.hostname}` : run.user;
  if (run.cluster) found["Cluster"] = run.cluster;
  found["Size"] = `${count(run.node_count, "node")}, ${count(run.world_size, "process", "processes")}`;
  found["Time limit"] = run.timeout_s ? span(run.timeout_s * 1000) : "none";
  if (run.kind !== "script") found["Kind"] = run.kind;
  return found;
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

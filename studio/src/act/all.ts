// The same done with several runs: each is tried, and what came of all of them is told once.

import { complain, tell } from "../parts/notices";

const AT_ONCE = 6;

/** How many went well, and the first sentence of those that did not. */
export interface Outcome {
  readonly done: number;
  readonly failed: number;
  readonly firstWhy: string;
}

export async function withEach<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<Outcome> {
  let next = 0;
  let done = 0;
  const sentences: string[] = [];
  async function work(): Promise<void> {
    for (let one = all[next++]; one !== undefined; one = all[next++]) {
      try {
        await act(one);
        done += 1;
      } catch (failure) {
        sentences.push(failure instanceof Error ? failure.message : String(failure));
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, all.length) }, work));
  return { done, failed: sentences.length, firstWhy: sentences[0] ?? "" };
}

/** Tells the outcome: `did` with the count of runs, as in "Canceled 3 runs". */
export function tellOutcome(did: string, outcome: Outcome): void {
  if (outcome.done) tell(`${did} ${outcome.done === 1 ? "1 run" : `${outcome.done} runs`}.`);
  if (!outcome.failed) return;
  complain(new Error(outcome.failed === 1 ? outcome.firstWhy : `${outcome.failed} runs were left as they are; of the first: ${outcome.firstWhy}`));
}

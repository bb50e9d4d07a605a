// How far a run has come: its phases with their times, and what it waits for.

import type { RunInFull } from "../api/run";
import { Duration, Moment } from "../parts/time";
import { type Step, stepsOf } from "./phases";

const WORDS: Record<Step["state"], string> = { done: "done", now: "now", failed: "failed", later: "not reached" };

export function StateLine({ run }: { run: RunInFull }) {
  return (
    <section aria-label="State">
      <ol class="state-line">
        {stepsOf(run).map((step) => (
          <li key={step.key} class={step.state} {...(step.state === "now" ? { "aria-current": "step" as const } : {})}>
            <span class="step-name">{step.name}</span>
            <span class="hidden">, {WORDS[step.state]}</span>
            <span class="step-took">{step.state === "later" ? "–" : <Duration from={step.from} to={step.to} />}</span>
            <span class="step-at">{step.state === "later" ? "not reached" : <Moment ns={step.from} />}</span>
          </li>
        ))}
      </ol>
      {run.pending && <p class="waits">Waits for: {run.pending}</p>}
      <HowItEnded run={run} />
    </section>
  );
}

function HowItEnded({ run }: { run: RunInFull }) {
  if (!run.ended_ns) return null;
  const how = run.signal !== null ? `signal ${run.signal}` : run.exit_code !== null ? `exit code ${run.exit_code}` : "";
  return (
    <p class="soft ended">
      Ended <Moment ns={run.ended_ns} />
      {how && `, ${how}`}
      {run.is_complete ? "; every file is here and sealed" : "; not all of its files are sealed yet"}
      {run.cause && run.status !== "Failed" && `: ${run.cause}`}
    </p>
  );
}

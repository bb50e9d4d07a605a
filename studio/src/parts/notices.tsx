// What came of an action: a line at the page's foot that goes by itself, or stays until it is read where something went wrong.

import { signal } from "@preact/signals";
import "./notices.css";

interface Notice {
  readonly id: number;
  readonly text: string;
  readonly isBad: boolean;
}

const SHOWN_MS = 6000;
const MOST = 5;
const notices = signal<readonly Notice[]>([]);
let count = 0;

function dismiss(id: number): void {
  notices.value = notices.value.filter((one) => one.id !== id);
}

/** Says that something was done. */
export function tell(text: string): void {
  const id = ++count;
  notices.value = [...notices.value, { id, text, isBad: false }].slice(-MOST);
  setTimeout(() => dismiss(id), SHOWN_MS);
}

/** Says why something could not be done. */
export function complain(failure: unknown): void {
  const text = failure instanceof Error ? failure.message : String(failure);
  notices.value = [...notices.value, { id: ++count, text, isBad: true }].slice(-MOST);
}

/** Where the notices are shown; the page has it once. */
export function Notices() {
  return (
    <div class="notices">
      <div role="status">{shown(false)}</div>
      <div role="alert">{shown(true)}</div>
    </div>
  );
}

function shown(isBad: boolean) {
  return notices.value
    .filter((one) => one.isBad === isBad)
    .map((one) => (
      <div key={one.id} class={`notice ${isBad ? "bad" : ""}`}>
        <span>{one.text}</span>
        <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(one.id)}>
          ×
        </button>
      </div>
    ));
}

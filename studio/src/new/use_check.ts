// What is wrong with a draft while it is typed: what the page can tell at once, and then what the collector says.

import { useEffect, useState } from "preact/hooks";
import { check } from "../api/orders";
import { BadText } from "./command";
import { type Draft, submissionOf } from "./draft";

export interface Checked {
  readonly state: "good" | "bad" | "waiting";
  readonly text: string;
}

const PAUSE_MS = 350;
const ASKING: Checked = { state: "waiting", text: "Checking …" };

export function useCheck(draft: Draft): Checked {
  const [checked, setChecked] = useState<Checked>(ASKING);
  useEffect(() => {
    let isOld = false;
    const wrong = wrongAtOnce(draft);
    setChecked(wrong ? { state: "bad", text: wrong } : ASKING);
    if (wrong) return;
    const timer = setTimeout(() => {
      void ask(draft).then((found) => {
        if (!isOld) setChecked(found);
      });
    }, PAUSE_MS);
    return () => {
      isOld = true;
      clearTimeout(timer);
    };
  }, [draft]);
  return checked;
}

function wrongAtOnce(draft: Draft): string {
  if (!draft.command.trim()) return "Write the command that is to run, as in: python train.py";
  try {
    submissionOf(draft, "draft");
  } catch (failure) {
    if (failure instanceof BadText) return failure.message;
    throw failure;
  }
  return "";
}

async function ask(draft: Draft): Promise<Checked> {
  try {
    const why = await check(draft.cluster, submissionOf(draft, `draft-${Date.now()}`));
    return why ? { state: "bad", text: sentence(why) } : { state: "good", text: "It can be started." };
  } catch (failure) {
    return { state: "bad", text: failure instanceof Error ? sentence(failure.message) : String(failure) };
  }
}

function sentence(text: string): string {
  const isWord = /^[a-z]+[ ,]/.test(text); // and no key, as environment.image is
  return (isWord ? text.charAt(0).toUpperCase() + text.slice(1) : text) + (/[.!?…]$/.test(text) ? "" : ".");
}

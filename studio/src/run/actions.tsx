import type { TabProps } from "./tab";

/** What can be done with a run: the buttons at the right of its page's header. */
export function RunActions(_: TabProps) {
  return null;
}

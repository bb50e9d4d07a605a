// What can be done with a run: the buttons at the right of its page's header.

export { RunActions } from "../act/run_actions";

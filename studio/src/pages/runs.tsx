import { RunsView } from "../runs/runs_view";

/** All runs, newest first. */
export function RunsPage() {
  return (
    <>
      <div class="head">
        <h1>All runs</h1>
      </div>
      <RunsView />
    </>
  );
}

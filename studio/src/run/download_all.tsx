import { apiUrl } from "../api/client";
import { type RunInFull, runPath } from "../api/run";

/** A zip of everything that there is, in whatever state the run is. */
export function DownloadAll({ run }: { run: RunInFull }) {
  return (
    <a class="as-button" href={apiUrl(`${runPath(run.run_id)}/archive`)} download={`${run.run_id}.zip`}>
      Download all
    </a>
  );
}

import type { TabProps } from "./tab";

/** What a run is, how it stands, and where it has failed, why. */
export function Overview({ run }: TabProps) {
  return <p>{run.cause}</p>;
}

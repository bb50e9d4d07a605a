import { EmptyNote } from "../parts/notes";

interface Props {
  readonly experiment: string | undefined;
  readonly isFiltered: boolean;
  readonly onClear: () => void;
}

/** No run is there, or none that fits: what to do. */
export function NoRuns({ experiment, isFiltered, onClear }: Props) {
  if (isFiltered) {
    return (
      <EmptyNote title="No run fits these conditions">
        <p>Take one of them away, or all:</p>
        <button type="button" onClick={onClear}>
          Clear filters
        </button>
      </EmptyNote>
    );
  }
  const words = experiment === undefined ? "" : ` --experiment ${shellWord(experiment)}`;
  return (
    <EmptyNote title={experiment === undefined ? "No runs yet" : "No runs in this experiment yet"}>
      <p>On a machine that is set up for this collector, this starts one:</p>
      <pre>{`runyard run${words} -- python train.py`}</pre>
    </EmptyNote>
  );
}

function shellWord(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

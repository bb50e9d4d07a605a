// The fields of a new run.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { PairRows } from "../act/pair_rows";
import type { Cluster } from "../api/compute";
import { nodeCount, plural } from "../compute/words";
import { bytes } from "../format";
import { DISTRIBUTIONS, type Draft, ENVIRONMENTS } from "./draft";

interface Props {
  readonly draft: Draft;
  readonly change: (part: Partial<Draft>) => void;
  readonly clusters: readonly Cluster[];
}

type Text = { [K in keyof Draft]: Draft[K] extends string ? K : never }[keyof Draft];

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onValue: (value: string) => void;
  readonly hint?: string | undefined;
  readonly placeholder?: string;
  readonly isNumber?: boolean;
}

const ENVIRONMENT_WORDS: Record<string, string> = {
  host: "The node itself",
  venv: "Venv of requirements",
  container: "Container image",
};
const DISTRIBUTION_WORDS: Record<string, string> = { none: "Plain processes", pytorch: "PyTorch", tensorflow: "TensorFlow", mpi: "MPI" };

export function Fields(props: Props) {
  return (
    <>
      <What {...props} />
      <Where {...props} />
      <EnvironmentFields {...props} />
      <Labels {...props} />
      <More {...props} />
    </>
  );
}

function field({ draft, change }: Props, name: Text, label: string, more: Partial<FieldProps> = {}) {
  return <Field label={label} value={draft[name]} onValue={(value) => change({ [name]: value })} {...more} />;
}

function What(props: Props) {
  const { draft, change } = props;
  return (
    <Section title="What runs">
      <label class="wide">
        Command
        <textarea
          class="mono"
          rows={2}
          required
          value={draft.command}
          spellcheck={false}
          placeholder="python train.py --lr 0.1"
          onInput={(event) => change({ command: event.currentTarget.value })}
        />
      </label>
      {field(props, "experiment", "Experiment", { placeholder: "default" })}
      {field(props, "name", "Name", { placeholder: "for people" })}
      <Code {...props} />
    </Section>
  );
}

function Code({ draft, change }: Props) {
  const { snapshot } = draft;
  if (!snapshot) {
    return (
      <p class="soft wide">
        No code comes along: the command is looked for on the nodes. To send code with a run, use{" "}
        <code>runyard submit --code . -- python train.py</code>, and run it again from here as often as you like.
      </p>
    );
  }
  return (
    <div class="wide code-kept">
      <span>
        Code: the snapshot <code>{snapshot.id.slice(0, 12)}</code> of the earlier run ({bytes(snapshot.size_bytes)}
        {snapshot.files > 0 && `, ${plural(snapshot.files, "file")}`})
      </span>
      <button type="button" class="small" onClick={() => change({ snapshot: null, cwd: "" })}>
        Start without it
      </button>
    </div>
  );
}

function Where(props: Props) {
  const { draft, change, clusters } = props;
  const chosen = clusters.find((one) => one.cluster === draft.cluster);
  return (
    <Section title="Where it runs">
      <Choice
        label="Cluster"
        value={draft.cluster}
        options={clusters.map(({ cluster }) => [cluster, cluster])}
        onValue={(cluster) => change({ cluster })}
        hint={chosen && roomIn(chosen)}
      />
      {field(props, "nodes", "Nodes", { isNumber: true, hint: "all at once" })}
      {field(props, "gpus", "GPUs of each node", { isNumber: true })}
      {field(props, "cpus", "CPUs of each node", { placeholder: "all", hint: "with neither CPUs nor memory it gets whole nodes" })}
      {field(props, "memory", "Memory of each node", { placeholder: "all", hint: "as in 512m or 8g" })}
      <Choice
        label="Distribution"
        value={draft.distribution}
        options={DISTRIBUTIONS.map((one) => [one, DISTRIBUTION_WORDS[one] ?? one])}
        onValue={(distribution) => change({ distribution })}
      />
      {field(props, "processes", "Processes on each node", { isNumber: true })}
    </Section>
  );
}

function roomIn(cluster: Cluster): string {
  const gpus = cluster.capacity.gpus ? `${cluster.capacity.gpus - cluster.gpus_taken} of ${cluster.capacity.gpus} GPUs free, ` : "";
  return `${plural(nodeCount(cluster), "node")}, ${gpus}${plural(cluster.queued, "run")} queued`;
}

function EnvironmentFields(props: Props) {
  const { draft, change } = props;
  const built = draft.rest.environment?.containerfile;
  return (
    <Section title="Environment">
      <Choice
        label="Runs in"
        value={draft.environment}
        options={ENVIRONMENTS.map((one) => [one, ENVIRONMENT_WORDS[one] ?? one])}
        onValue={(environment) => change({ environment })}
      />
      {draft.environment === "container" &&
        field(props, "image", "Image", {
          placeholder: "docker.io/library/python:3.12",
          hint: built ? `empty: built from ${built} on the nodes` : undefined,
        })}
      {draft.environment === "venv" && field(props, "python", "Python", { placeholder: "the agent's own", hint: "as in python3.12" })}
      {draft.environment === "venv" && (
        <label class="wide">
          Requirements
          <textarea
            class="mono"
            rows={4}
            value={draft.requirements}
            spellcheck={false}
            placeholder={"numpy==2.1.0\ntorch"}
            onInput={(event) => change({ requirements: event.currentTarget.value })}
          />
        </label>
      )}
      {field(props, "cwd", "Folder", {
        placeholder: draft.snapshot ? "the code's own" : "the user's home",
        hint: draft.snapshot ? "in the code" : "an absolute path on the nodes",
      })}
    </Section>
  );
}

function Labels({ draft, change }: Props) {
  return (
    <Section title="Variables and tags">
      <div class="half">
        <h3>Variables</h3>
        <PairRows what="variable" rows={draft.env} onChange={(env) => change({ env })} />
      </div>
      <div class="half">
        <h3>Tags</h3>
        <PairRows what="tag" rows={draft.tags} onChange={(tags) => change({ tags })} />
      </div>
    </Section>
  );
}

function More(props: Props) {
  return (
    <Section title="Queue and limits">
      {field(props, "priority", "Priority", { isNumber: true, hint: "-1000 to 1000, higher ones first" })}
      {field(props, "maxQueue", "Longest wait", { placeholder: "for ever", hint: "as in 2h; then it has failed" })}
      {field(props, "retries", "Retries", { isNumber: true, hint: "on other nodes, where one was lost" })}
      {field(props, "timeout", "Time limit", { placeholder: "none", hint: "as in 12h" })}
      {field(props, "user", "User on the nodes", { placeholder: "as the agents are set" })}
    </Section>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <fieldset class="new-section">
      <legend>{title}</legend>
      {children}
    </fieldset>
  );
}

function Field({ label, value, onValue, hint, placeholder, isNumber }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        aria-describedby={`${id}-hint`}
        value={value}
        inputMode={isNumber ? "numeric" : "text"}
        autocomplete="off"
        spellcheck={false}
        placeholder={placeholder}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
      <span class="hint" id={`${id}-hint`}>
        {hint}
      </span>
    </div>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, words: string])[];
  readonly onValue: (value: string) => void;
  readonly hint?: string | undefined;
}

function Choice({ label, value, options, onValue, hint }: ChoiceProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} aria-describedby={`${id}-hint`} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
        {options.map(([one, words]) => (
          <option key={one} value={one}>
            {words}
          </option>
        ))}
      </select>
      <span class="hint" id={`${id}-hint`}>
        {hint}
      </span>
    </div>
  );
}

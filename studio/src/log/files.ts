// The files of a run as people read them: in the order of the phases, each with what it is, grouped by node and attempt. Pure.

import { OVERALL_LOGS } from "./labels";

/** As GET /runs/{run_id}/files has it. */
export interface FileOfRun {
  readonly path: string;
  readonly node_id: string;
  readonly name: string;
  readonly folder: string;
  readonly bytes: number;
  readonly is_sealed: boolean;
  readonly modified_ns: number;
  readonly gaps: readonly (readonly [number, number])[];
  readonly removed_ns: number | null;
  /** Not shipped by a node: brought by a training or a person. */
  readonly isUploaded?: boolean;
}

export type Phase = "image" | "execution" | "preparation" | "driver" | "release" | "processes" | "overall" | "system" | "user" | "outputs";

export interface Described {
  readonly file: FileOfRun;
  /** The name without the folders that its group stands for. */
  readonly title: string;
  readonly about: string;
  readonly phase: Phase;
  readonly rank: number | null;
  readonly attempt: number;
  readonly kind: "log" | "text" | "json" | "image" | "bytes";
}

export interface Group {
  readonly key: string;
  readonly title: string;
  readonly files: readonly Described[];
}

const ORDER: readonly Phase[] = ["overall", "image", "execution", "preparation", "driver", "release", "processes", "system", "user", "outputs"];
export const PHASE_NAMES: Readonly<Record<Phase, string>> = {
  overall: "All nodes together",
  image: "20 Image",
  execution: "55 Execution",
  preparation: "65 Preparation",
  driver: "70 Your program",
  release: "75 Release",
  processes: "Processes",
  system: "System logs",
  user: "Your own logs",
  outputs: "Outputs",
};

const RULES: readonly (readonly [RegExp, Phase, string | ((match: RegExpExecArray) => string)])[] = [
  [/^azureml-logs\/20_image_build_log/, "image", "How the image was built"],
  [/^azureml-logs\/55_azureml-execution/, "execution", "What the host pulled, mounted and started, and how that ended"],
  [/^azureml-logs\/65_job_prep/, "preparation", "Code and data are brought to the node"],
  [/^azureml-logs\/70_mpi_log/, "driver", "What the MPI launcher says"],
  [/^azureml-logs\/70_driver_log_(\d+)\.txt/, "driver", (match) => `What rank ${match[1]} printed`],
  [/^azureml-logs\/70_driver_log\.txt/, "driver", "What your program printed"],
  [/^azureml-logs\/75_job_post/, "release", "Logs are sent, the node is given back"],
  [/^azureml-logs\/process_info\.json/, "processes", "Which process ran where"],
  [/^azureml-logs\/process_status\.json/, "processes", "When each process started and ended"],
  [/^logs\/azureml\/stdoutlogs\.txt/, "overall", "Standard output of all ranks, line by line as it came"],
  [/^logs\/azureml\/stderrlogs\.txt/, "overall", "Standard error of all ranks"],
  [/^logs\/azureml\/executionlogs\.txt/, "overall", "What the hosts of all nodes say"],
  [/^logs\/azureml\/stacks\//, "system", "Stacks: where each thread was at that moment"],
  [/^logs\/azureml\/telemetry-/, "system", "What the run used on this node, as JSON lines"],
  [/^logs\/azureml\/sidecar\//, "system", "What the context managers beside the run say"],
  [/^logs\/azureml\/job_prep/, "system", "Details of the preparation"],
  [/^logs\/azureml\/job_release/, "system", "Details of the release"],
  [/^logs\/azureml\//, "system", "Details of what was done on this node"],
  [/^logs\//, "user", "Written by your program"],
  [/^outputs\//, "outputs", "Kept by your program"],
];

const TEXT = /\.(?:txt|log|out|err|csv|md|ya?ml|jsonl|tsv|py|toml|ini|cfg|xml|html?)(?:\.~\d+~)?~?$/i;
const IMAGE = /\.(?:png|jpe?g|gif|webp)$/i;
const LARGEST_JSON_BYTES = 2 << 20;

/** What one file is. */
export function describe(file: FileOfRun): Described {
  const [, attempt, name] = /^(?:attempts\/(\d+)\/)?(.*)$/s.exec(file.name) ?? ["", undefined, file.name];
  const own = name ?? file.name;
  const base = { file, title: own.replace(/^azureml-logs\//, ""), attempt: Number(attempt ?? 0), kind: kindOf(own, file.bytes) };
  for (const [pattern, phase, about] of RULES) {
    const match = pattern.exec(own);
    if (!match) continue;
    const rank = phase === "driver" && /driver_log/.test(own) ? Number(match[1] ?? 0) : null;
    return { ...base, phase, rank, about: typeof about === "string" ? about : about(match) };
  }
  return { ...base, phase: "user", rank: null, about: "Left by the run" };
}

function kindOf(name: string, bytes: number): Described["kind"] {
  if (IMAGE.test(name)) return "image";
  if (/\.json$/i.test(name) && !name.startsWith("azureml-logs/")) return bytes <= LARGEST_JSON_BYTES ? "json" : "text";
  if (/^(?:azureml-logs|logs)\//.test(name) && (TEXT.test(name) || /\.json$/i.test(name))) return "log";
  return TEXT.test(name) ? "text" : "bytes";
}

/** Groups by node and attempt; what belongs to the whole run comes first. */
export function grouped(files: readonly Described[]): Group[] {
  const groups = new Map<string, Described[]>();
  for (const one of files) {
    const key = keyOf(one);
    const found = groups.get(key);
    if (found) found.push(one);
    else groups.set(key, [one]);
  }
  return [...groups]
    .sort(([a], [b]) => natural(a, b))
    .map(([key, found]) => ({ key, title: titleOf(found[0]), files: found.sort(inOrder) }));
}

function keyOf({ file, attempt }: Described): string {
  return `${file.isUploaded ? "\uffff" : file.folder}\n${String(attempt).padStart(4, "0")}`;
}

function titleOf(one: Described | undefined): string {
  if (!one) return "";
  if (one.file.isUploaded) return "Uploaded";
  const node = one.file.folder ? `Node ${one.file.folder}` : "Whole run";
  return one.attempt ? `${node}, attempt ${one.attempt}` : node;
}

function inOrder(a: Described, b: Described): number {
  return ORDER.indexOf(a.phase) - ORDER.indexOf(b.phase) || natural(a.title, b.title);
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

function natural(a: string, b: string): number {
  return COLLATOR.compare(a, b);
}

/** What GET /runs/{run_id}/verdict says, as far as it leads to a file. */
export interface Verdict {
  readonly is_decided: boolean;
  readonly rank: number | null;
  readonly node_id: string | null;
  readonly sentence: string;
  readonly evidence: readonly { readonly rank: number | null; readonly node: string; readonly what: string; readonly log: string | null; readonly start: number | null }[];
}

export interface FirstToRead {
  readonly path: string;
  readonly at: number | null;
}

/** The file worth reading first: the one that tells of the failure, else what rank 0 printed, else what came last. */
export function firstToRead(files: readonly Described[], verdict: Verdict | undefined): FirstToRead | null {
  if (verdict?.is_decided) {
    for (const exhibit of verdict.evidence) {
      const found = exhibit.log === null ? undefined : fileOf(files, exhibit.log, exhibit.node);
      if (found) return { path: found.file.path, at: exhibit.start };
    }
    const found = verdict.rank === null ? undefined : newest(files.filter((one) => one.rank === verdict.rank));
    if (found) return { path: found.file.path, at: null };
  }
  const logs = files.filter((one) => one.kind === "log" && one.file.bytes > 0);
  const driver = newest(logs.filter((one) => one.phase === "driver" && one.rank === 0)) ?? newest(logs.filter((one) => one.phase === "driver"));
  const any = driver ?? logs.filter((one) => one.phase !== "processes" && one.phase !== "system").sort(inOrder).at(-1) ?? files[0];
  return any ? { path: any.file.path, at: null } : null;
}

function newest(files: readonly Described[]): Described | undefined {
  return [...files].sort((a, b) => b.attempt - a.attempt || natural(a.file.path, b.file.path))[0];
}

function fileOf(files: readonly Described[], log: string, node: string): Described | undefined {
  const named = files.filter((one) => one.file.name === log || one.file.path === log);
  return named.find((one) => !node || one.file.folder === node || one.file.folder.startsWith(`${node}_`)) ?? named[0];
}

export function isOverall(file: FileOfRun): boolean {
  return OVERALL_LOGS.has(file.path) && !file.folder;
}

/** Where the time index of a log is; only what capture writes has one. */
export function indexPath(file: FileOfRun): string | null {
  if (isOverall(file)) return null;
  const [, folder = "", attempt = "", name = ""] = /^(.*?)((?:attempts\/\d+\/)?)(azureml-logs\/70_driver_log.*)$/s.exec(file.path) ?? [];
  if (!name) return null;
  const [, plain = name, generation = ""] = /^(.*?)(\.~\d+~)?$/s.exec(name) ?? [];
  return `${folder}${attempt}.runyard/index/${plain}.idx${generation}`;
}

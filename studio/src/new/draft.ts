// A run that is not started yet, as the form has it, and as it is submitted. Pure.

import { pairsOf, type PairRow, rowsOf, whyBadPairs } from "../act/pair_rows";
import type { Request } from "../api/compute";
import type { Described, Environment, OrderOfRun, Snapshot, Spec, Submission } from "../api/orders";
import type { RunInFull } from "../api/run";
import { shownCommand } from "../run/what";
import { bytesOf, numberOf, secondsOf, sizeText, spanText, wholeOf } from "./amounts";
import { BadText, wordsOf } from "./command";

export const ENVIRONMENTS = ["host", "venv", "container"] as const;
export const DISTRIBUTIONS = ["none", "pytorch", "tensorflow", "mpi"] as const;

/** Everything that is typed is kept as it was typed. */
export interface Draft {
  readonly cluster: string;
  readonly command: string;
  readonly experiment: string;
  readonly name: string;
  readonly nodes: string;
  readonly gpus: string;
  readonly cpus: string;
  readonly memory: string;
  readonly environment: string;
  readonly requirements: string;
  readonly python: string;
  readonly image: string;
  readonly distribution: string;
  readonly processes: string;
  readonly cwd: string;
  readonly timeout: string;
  readonly priority: string;
  readonly maxQueue: string;
  readonly retries: string;
  readonly user: string;
  readonly env: readonly PairRow[];
  readonly tags: readonly PairRow[];
  readonly snapshot: Snapshot | null;
  /** What the form does not show goes along as it is. */
  readonly rest: Spec;
}

export const EMPTY: Draft = {
  cluster: "",
  command: "",
  experiment: "",
  name: "",
  nodes: "1",
  gpus: "0",
  cpus: "",
  memory: "",
  environment: "host",
  requirements: "",
  python: "",
  image: "",
  distribution: "none",
  processes: "1",
  cwd: "",
  timeout: "",
  priority: "0",
  maxQueue: "",
  retries: "0",
  user: "",
  env: [],
  tags: [],
  snapshot: null,
  rest: {},
};

/** The form filled with what a description says. */
export function filled(before: Draft, { spec, request, node_count }: Described, withheld: readonly string[] = []): Draft {
  const environment = spec.environment ?? {};
  return {
    ...before,
    command: shownCommand(spec.command ?? []),
    experiment: spec.experiment ?? "",
    name: spec.name ?? "",
    nodes: String(node_count),
    ...amountsOf(request),
    environment: environment.kind ?? "host",
    requirements: (environment.requirements ?? "").trimEnd(),
    python: environment.python ?? "",
    image: environment.image ?? "",
    distribution: spec.distribution?.kind ?? "none",
    processes: String(spec.distribution?.processes_per_node ?? 1),
    cwd: spec.cwd ?? "",
    timeout: spanText(spec.limits?.["driver_s"] ?? 0),
    env: rowsOf(spec.env ?? {}, false, withheld),
    tags: rowsOf(spec.tags ?? {}),
    rest: spec,
  };
}

function amountsOf(request: Request) {
  return { gpus: String(request.gpus), cpus: request.cpus ? String(request.cpus) : "", memory: sizeText(request.memory_bytes) };
}

/** The form filled with what an earlier run of a queue was asked to be. */
export function again(before: Draft, order: OrderOfRun): Draft {
  return {
    ...filled(before, { spec: order.order.spec, request: order.request, node_count: order.node_count }, order.withheld),
    cluster: order.cluster,
    priority: String(order.priority),
    maxQueue: spanText(order.max_queue_s),
    retries: String(order.retries),
    user: order.order.user,
    snapshot: order.order.snapshot,
  };
}

/** The form filled with what is known of a run that was started elsewhere: `snapshot` of its code, where it is kept. */
export function knownOf(before: Draft, run: RunInFull, snapshot: Snapshot | null): Draft {
  const [kind = "host", image = ""] = (run.properties["runyard.environment"] ?? "host").split(" ");
  return {
    ...before,
    command: shownCommand(run.command),
    experiment: run.experiment,
    name: run.name,
    nodes: String(run.node_count),
    processes: String(Math.max(1, Math.round(run.world_size / run.node_count))),
    environment: (ENVIRONMENTS as readonly string[]).includes(kind) ? kind : "host",
    image: kind === "container" ? image : "",
    timeout: spanText(run.timeout_s ?? 0),
    tags: rowsOf(run.tags),
    snapshot,
    rest: snapshot ? { code: "/code" } : {},
  };
}

/** What is submitted. Throws BadText with the first thing that cannot be read. */
export function submissionOf(draft: Draft, runId: string): Submission {
  const wrong = whyBadPairs(draft.env, "variable") || whyBadPairs(draft.tags, "tag");
  if (wrong) throw new BadText(wrong);
  const request = {
    gpus: wholeOf("GPUs", draft.gpus, 0, 9999),
    cpus: numberOf("CPUs", draft.cpus),
    memory_bytes: bytesOf("Memory", draft.memory),
  };
  return {
    run_id: runId,
    order: { spec: specOf(draft, request), snapshot: draft.snapshot, user: draft.user.trim() },
    node_count: wholeOf("Nodes", draft.nodes, 1, 100_000),
    request,
    priority: wholeOf("Priority", draft.priority, -1000, 1000),
    max_queue_s: secondsOf("Longest wait", draft.maxQueue),
    retries: wholeOf("Retries", draft.retries, 0, 1000),
  };
}

function specOf(draft: Draft, request: Request): Spec {
  const isContainer = draft.environment === "container";
  const amounts = { gpus: String(request.gpus), cpus: request.cpus, memory: draft.memory.trim().toLowerCase() };
  const { shm_size } = draft.rest.resources ?? {};
  return {
    ...draft.rest,
    command: wordsOf(draft.command),
    experiment: draft.experiment.trim(),
    name: draft.name.trim(),
    tags: pairsOf(draft.tags),
    env: pairsOf(draft.env),
    cwd: draft.cwd.trim(),
    code: draft.snapshot ? (draft.rest.code ?? "/code") : "",
    environment: environmentOf(draft),
    resources: isContainer ? { ...amounts, ...(typeof shm_size === "string" ? { shm_size } : {}) } : {},
    limits: { ...draft.rest.limits, driver_s: secondsOf("Time limit", draft.timeout) },
    distribution: distributionOf(draft),
  };
}

function environmentOf(draft: Draft): Environment {
  const before = draft.rest.environment ?? {};
  if (draft.environment === "venv") {
    const isKept = before.kind === "venv";
    return {
      ...(isKept ? before : {}),
      kind: "venv",
      requirements: draft.requirements.trim() ? `${draft.requirements.trimEnd()}\n` : "",
      requirements_dir: before.requirements_dir || "/",
      python: draft.python.trim(),
    };
  }
  if (draft.environment !== "container") return { kind: "host" };
  const image = draft.image.trim();
  return !image && before.containerfile ? before : { kind: "container", image };
}

function distributionOf(draft: Draft) {
  return {
    ...draft.rest.distribution,
    kind: draft.distribution,
    node_count: wholeOf("Nodes", draft.nodes, 1, 100_000),
    node_rank: 0,
    processes_per_node: wholeOf("Processes on each node", draft.processes, 1, 4096),
    launcher: draft.distribution === "mpi" ? "mpirun" : "",
    launched_ranks: [],
    launched_world_size: 0,
  };
}

/** An id as `runyard submit` makes them: <experiment>_<unix seconds>_<8 hex>. */
export function freshRunId(experiment: string, nowMs: number, random: Uint8Array): string {
  const tail = `_${Math.floor(nowMs / 1000)}_${[...random.slice(0, 4)].map((one) => one.toString(16).padStart(2, "0")).join("")}`;
  const head = /^[A-Za-z0-9](\.?[A-Za-z0-9_-])*$/.test(experiment) ? experiment : "run";
  return head.slice(0, 128 - tail.length) + tail;
}

// The collector's answers, as far as the page reads them. The API's own description is GET /api/v1/openapi.json.

export interface Problem {
  readonly status: number;
  readonly detail: string;
  readonly code: string;
}

export interface Session {
  readonly kind: "admin" | "user";
  readonly subject: string;
}

export type RunStatus =
  | "NotStarted"
  | "Queued"
  | "Starting"
  | "Provisioning"
  | "Preparing"
  | "Running"
  | "CancelRequested"
  | "Finalizing"
  | "NotResponding"
  | "Completed"
  | "Failed"
  | "Canceled";

export interface Failure {
  readonly [name: string]: unknown;
}

/** A run in a list: GET /runs, and the first part of GET /runs/{run_id}. */
export interface Run {
  readonly run_id: string;
  readonly experiment: string;
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly hostname: string;
  readonly status: RunStatus;
  readonly phase: string;
  readonly exit_code: number | null;
  readonly signal: number | null;
  readonly cause: string;
  readonly created_ns: number;
  readonly started_ns: number | null;
  readonly ended_ns: number | null;
  readonly heard_ns: number | null;
  readonly is_complete: boolean;
  readonly pending: string;
  readonly node_count: number;
  readonly world_size: number;
  readonly attempt: number;
  readonly is_pinned: boolean;
  readonly removed_ns: number | null;
  readonly removed_why: string;
}

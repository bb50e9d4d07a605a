// Requests to the collector that has served the page. The session's cookie goes along by itself; no token is ever seen here.

import { effect, signal } from "@preact/signals";
import type { Problem, Session } from "./types";

const SESSION_KEY = "runyard.session";
/**
 * Who has logged in; undefined: not known yet; null: nobody. The last visit's answer holds until this one's has come, so that a page
 * begins with what it is about; who has logged out meanwhile is answered 401, and sees the login page.
 */
export const session = signal<Session | null | undefined>(keptSession());

effect(() => {
  if (session.value) localStorage.setItem(SESSION_KEY, JSON.stringify(session.value));
  else if (session.value === null) localStorage.removeItem(SESSION_KEY);
});

function keptSession(): Session | undefined {
  try {
    const kept = JSON.parse(localStorage.getItem(SESSION_KEY) ?? "{}") as Partial<Session>;
    return kept.kind && typeof kept.subject === "string" ? { kind: kept.kind, subject: kept.subject } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the collector has answered lately; pages say so while it does not. */
export const isReachable = signal(true);

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | boolean | readonly string[] | null | undefined>;

/** The address of a route below /api/v1. */
export function apiUrl(path: string, query: Query = {}): string {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    if (Array.isArray(value)) for (const one of value) words.append(name, one);
    else words.set(name, String(value));
  }
  const text = words.toString();
  return `/api/v1${path}${text ? `?${text}` : ""}`;
}

/** GET as JSON; throws ApiError. */
export function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return ask<T>("GET", apiUrl(path, query), undefined, signal);
}

/** POST (or another method) with a JSON body; throws ApiError. */
export function send<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return ask<T>(method, apiUrl(path), body, signal);
}

/** POST of lines, each a JSON value (records); throws ApiError. */
export function sendLines<T>(path: string, lines: readonly unknown[]): Promise<T> {
  return ask<T>("POST", apiUrl(path), lines.map((line) => JSON.stringify(line)).join("\n"), undefined, "application/x-ndjson");
}

async function ask<T>(method: string, url: string, body: unknown, signal?: AbortSignal, type = "application/json"): Promise<T> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-Runyard-Studio"] = "1";
  if (body !== undefined) headers["Content-Type"] = type;
  const response = await answerTo(url, {
    method,
    headers,
    ...(body === undefined ? {} : { body: type === "application/json" ? JSON.stringify(body) : String(body) }),
    ...(signal ? { signal } : {}),
  });
  if (!response.ok) throw await errorOf(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** What the collector answers, whatever that is; throws ApiError where nobody does. */
export async function answerTo(url: string, request: RequestInit): Promise<Response> {
  try {
    const response = await fetch(url, request);
    isReachable.value = true;
    return response;
  } catch (error) {
    if (request.signal?.aborted) throw error;
    isReachable.value = false;
    throw new ApiError(0, "unreachable", "the collector does not answer; this page goes on as soon as it does");
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  if (response.status === 401) session.value = null;
  return new ApiError(response.status, problem.code ?? "", problem.detail ?? `the collector answered ${response.status}`);
}

/** Bytes [start, end) of a file of a run, and the file's size when they were read. */
export async function getRange(
  url: string,
  start: number,
  end: number,
  signal?: AbortSignal,
): Promise<{ bytes: Uint8Array; size: number }> {
  // Without the browser's cache, which takes the size that a growing file had for its end.
  const headers = { Range: `bytes=${start}-${end - 1}` };
  const response = await answerTo(url, { headers, cache: "no-store", ...(signal ? { signal } : {}) });
  if (response.status === 416) {
    const total = response.headers.get("Content-Range")?.split("/")[1];
    return { bytes: new Uint8Array(), size: Number(total ?? start) };
  }
  if (!response.ok) throw await errorOf(response);
  const total = response.headers.get("Content-Range")?.split("/")[1];
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { bytes, size: total ? Number(total) : bytes.length };
}

/** Who has logged in; sets `session`. */
export async function lookAtSession(): Promise<void> {
  try {
    session.value = await get<Session>("/session");
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) session.value = null;
    else throw error;
  }
}

// What the tab asks the collector for: the run's files, and places in them.

import { answerTo, apiUrl, get } from "../api/client";
import { describe, type Described, type FileOfRun, indexPath } from "./files";

interface FileList {
  readonly files: readonly FileOfRun[];
  readonly next_page_token?: string;
}

interface ArtifactFolder {
  readonly files: readonly { readonly path: string; readonly size_bytes: number; readonly node_id: string; readonly modified_ms: number }[];
  readonly next_page_token?: string;
}

/** All files of a run, those that were uploaded among them. */
export async function filesOf(runId: string, signal: AbortSignal): Promise<Described[]> {
  const [shipped, uploaded] = await Promise.all([shippedFrom(runId, signal), uploadedTo(runId, signal)]);
  const known = new Set(shipped.map((one) => one.path));
  return [...shipped.map(inOneFolder), ...uploaded.filter((one) => !known.has(one.path))].map(describe);
}

async function shippedFrom(runId: string, signal: AbortSignal): Promise<FileOfRun[]> {
  const found: FileOfRun[] = [];
  for (let token: string | undefined = ""; token !== undefined; ) {
    const page: FileList = await get(`${runPath(runId)}/files`, { page_size: 1000, page_token: token }, signal);
    found.push(...page.files);
    token = page.next_page_token;
  }
  return found;
}

/** The files of a run on one node have no node's folder in their paths. */
function inOneFolder(file: FileOfRun): FileOfRun {
  return file.path === file.name ? { ...file, folder: "" } : file;
}

async function uploadedTo(runId: string, signal: AbortSignal): Promise<FileOfRun[]> {
  const found: FileOfRun[] = [];
  for (let token: string | undefined = ""; token !== undefined; ) {
    const page: ArtifactFolder = await get(`${runPath(runId)}/artifacts`, { recursive: 1, page_size: 1000, page_token: token }, signal);
    for (const one of page.files) if (!one.node_id) found.push(uploadedFile(one));
    token = page.next_page_token;
  }
  return found;
}

function uploadedFile(one: ArtifactFolder["files"][number]): FileOfRun {
  const { path, size_bytes, modified_ms } = one;
  const rest = { node_id: "", folder: "", is_sealed: true, gaps: [], removed_ns: null, isUploaded: true };
  return { ...rest, path, name: path, bytes: size_bytes, modified_ns: modified_ms * 1e6 };
}

export function runPath(runId: string): string {
  return `/runs/${encodeURIComponent(runId)}`;
}

/** Where a file's bytes are. */
export function fileUrl(runId: string, file: FileOfRun): string {
  return urlOf(runId, file.path, file.isUploaded ? "artifacts" : "files");
}

export function indexUrl(runId: string, file: FileOfRun): string | null {
  const path = file.isUploaded ? null : indexPath(file);
  return path === null ? null : urlOf(runId, path, "files");
}

function urlOf(runId: string, path: string, route: "files" | "artifacts"): string {
  return apiUrl(`${runPath(runId)}/${route}/${path.split("/").map(encodedName).join("/")}`);
}

/** A name need not be UTF-8: its other bytes are half characters U+DC80 to U+DCFF. */
function encodedName(name: string): string {
  return [...name].map((one) => (/^[\udc80-\udcff]$/.test(one) ? `%${(one.charCodeAt(0) - 0xdc00).toString(16)}` : encodeURIComponent(one))).join("");
}

/** Where in a file the bytes begin that came at `ns` or later; null where no times are known. */
export async function offsetAt(runId: string, file: FileOfRun, ns: number, signal?: AbortSignal): Promise<number | null> {
  if (indexPath(file) === null) return null;
  const abort = new AbortController();
  signal?.addEventListener("abort", () => abort.abort());
  const url = apiUrl(`${runPath(runId)}/follow`, { file: file.path, since_ns: Math.round(ns), until: "now" });
  const response = await answerTo(url, { signal: abort.signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (reader && text.length < 1 << 20) {
    const { done, value } = await reader.read();
    text += value ?? "";
    const match = /event: open\ndata: (.*)\n/.exec(text);
    if (match) {
      abort.abort();
      return (JSON.parse(match[1] ?? "{}") as { offset: number }).offset;
    }
    if (done) return null;
  }
  return null;
}

/** Where line `line` (from 1) starts in a file. */
export async function offsetOfLine(runId: string, path: string, line: number, signal?: AbortSignal): Promise<number> {
  return (await get<{ offset: number }>(`${runPath(runId)}/lines`, { file: path, line }, signal)).offset;
}

/** Which line (from 1) the byte at `offset` lies in. */
export async function lineAt(runId: string, path: string, offset: number, signal?: AbortSignal): Promise<number> {
  return (await get<{ line: number }>(`${runPath(runId)}/lines`, { file: path, offset }, signal)).line;
}

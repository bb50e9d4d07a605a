/** An address of a page of Studio, from parts that may hold anything. Pure. */
export function address(...segments: string[]): string {
  return "/" + segments.map(encodeURIComponent).join("/");
}

import type { ComponentChildren } from "preact";

/** What went wrong, for a person. */
export function ErrorNote({ children }: { children: ComponentChildren }) {
  return (
    <div class="note error" role="alert">
      {children}
    </div>
  );
}

/** Nothing is there: what there would be, and what to do. */
export function EmptyNote({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="note empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

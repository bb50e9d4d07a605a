import type { ComponentChildren } from "preact";
import { go } from "../router";

interface Props {
  readonly to: string;
  readonly class?: string;
  readonly current?: boolean;
  readonly title?: string;
  readonly children: ComponentChildren;
}

/** A link within the page: a real one, that opens in a new tab as any other does. */
export function Link({ to, current, children, ...rest }: Props) {
  return (
    <a
      {...rest}
      href={to}
      {...(current ? { "aria-current": "page" as const } : {})}
      onClick={(event) => {
        if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}

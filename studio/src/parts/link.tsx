import { createContext, type ComponentChildren } from "preact";
import { useContext } from "preact/hooks";

/** How one gets from a link to what it leads to: the page's own router, or what shows a part of the page elsewhere. */
export interface Going {
  /** Before every address; empty within the page. */
  readonly base: string;
  /** Shows what is at an address; false: the browser is to open it. */
  readonly go: (to: string) => boolean;
}

export const GoingContext = createContext<Going>({ base: "", go: () => false });

interface Props {
  readonly to: string;
  readonly class?: string;
  readonly current?: boolean;
  readonly title?: string;
  readonly children: ComponentChildren;
}

/** A link within the page: a real one, that opens in a new tab as any other does. */
export function Link({ to, current, children, ...rest }: Props) {
  const { base, go } = useContext(GoingContext);
  return (
    <a
      {...rest}
      href={base + to}
      {...(base ? { target: "_blank", rel: "noopener noreferrer" } : {})}
      {...(current ? { "aria-current": "page" as const } : {})}
      onClick={(event) => {
        if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        if (go(to)) event.preventDefault();
      }}
    >
      {children}
    </a>
  );
}

/** Leads to an address as a link does. */
export function useGo(): (to: string) => void {
  const { base, go } = useContext(GoingContext);
  return (to) => {
    if (!go(to)) window.open(base + to, "_blank", "noopener,noreferrer");
  };
}

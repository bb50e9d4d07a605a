import type { ComponentType, JSX } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { ErrorNote } from "./notes";

const RETRY_MS = 2000;

export interface Lazy<P extends object> {
  (props: P): JSX.Element;
  /** Asks for the code before it is shown. */
  readonly load: () => void;
}

/** A component whose code is loaded when it is first shown, or asked for. */
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>): Lazy<P> {
  let loaded: ComponentType<P> | undefined;
  let asked: Promise<ComponentType<P>> | undefined;
  function ask(): Promise<ComponentType<P>> {
    asked ??= load().then((component) => (loaded = component));
    asked.catch(() => (asked = undefined)); // the next one who shows it tries again
    return asked;
  }
  function Shown(props: P): JSX.Element {
    const [Component, setComponent] = useState<ComponentType<P> | undefined>(() => loaded);
    const [hasFailed, setFailed] = useState(false);
    useLayoutEffect(() => {
      if (Component) return;
      let timer = 0;
      let isGone = false;
      function show(): void {
        ask().then(
          (component) => setComponent(() => component),
          () => {
            if (isGone) return;
            setFailed(true);
            timer = window.setTimeout(show, RETRY_MS);
          },
        );
      }
      show();
      return () => {
        isGone = true;
        clearTimeout(timer);
      };
    }, []);
    if (Component) return <Component {...props} />;
    if (!hasFailed) return <div class="booting" />;
    return <ErrorNote>This part of the page could not be loaded; it is tried again. Where that does not help, reload the page.</ErrorNote>;
  }
  return Object.assign(Shown, { load: () => void ask() });
}

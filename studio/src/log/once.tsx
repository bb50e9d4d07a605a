// A component that is drawn again only when one of its properties has changed.

import { Component, type ComponentChild, type FunctionComponent, type JSX } from "preact";

/** `view`, drawn again only when a property is another one. */
export function once<P extends object>(view: (props: P) => JSX.Element): FunctionComponent<P> {
  class Once extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const names = Object.keys(next) as (keyof P)[];
      return names.some((name) => next[name] !== this.props[name]);
    }

    override render(props: P): ComponentChild {
      return view(props);
    }
  }
  return (props: P) => <Once {...props} />;
}

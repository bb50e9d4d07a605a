// The module that a notebook loads for the widget (anywidget's interface). All styles are within it: they are put into a shadow tree, so
// neither does the notebook's style reach the widget, nor the other way round.

import { render as draw } from "preact";
import { followScheme } from "./host";
import { type HostModel, Kernel } from "./model";
import { Widget } from "./widget";

/** The build puts the text of all styles here (vite.widget.config.ts). */
declare const WIDGET_STYLES: string;

interface Given {
  readonly model: HostModel;
  readonly el: HTMLElement;
}

function render({ model, el }: Given): () => void {
  const host = document.createElement("div");
  // Keys that are pressed in the widget are not the notebook's commands.
  host.dataset["lmSuppressShortcuts"] = "true";
  host.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(host);
  const shadow = host.attachShadow({ mode: "open" });
  const place = document.createElement("div");
  shadow.append(styleOf(WIDGET_STYLES), place);
  const kernel = new Kernel(model);
  const unfollow = followScheme(host);
  const unhide = hideSummary(kernel.page.value?.summary);
  const undraw = whenShown(host, () => draw(<Widget kernel={kernel} />, place));
  kernel.send({ kind: "here" });
  return () => {
    kernel.send({ kind: "gone" });
    undraw();
    draw(null, place);
    kernel.close();
    unfollow();
    unhide();
    host.remove();
  };
}

/** Calls once, as soon as the host has a place in the page: before, nothing in it has a size or a colour. */
function whenShown(host: HTMLElement, shown: () => void): () => void {
  const observer = new ResizeObserver(() => {
    if (!host.isConnected || !host.clientWidth) return;
    observer.disconnect();
    shown();
  });
  observer.observe(host);
  return () => observer.disconnect();
}

function styleOf(text: string): HTMLStyleElement {
  const style = document.createElement("style");
  style.textContent = text;
  return style;
}

/** The summary that stands below the widget is for when there is no widget (runyard/widgets/run_details.py). */
function hideSummary(name: string | undefined): () => void {
  if (!name || !/^[\w-]+$/.test(name)) return () => undefined;
  const style = styleOf(`.${name} { display: none !important; }`);
  document.head.append(style);
  return () => style.remove();
}

export default { render };

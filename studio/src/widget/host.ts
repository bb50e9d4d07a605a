// What the widget learns of the page that it is in: whether that is dark. JupyterLab and Notebook, VS Code and Colab say so in
// attributes of the page's root; anywhere else the ground tells it.

import { scheme } from "../parts/scheme";

/** Follows the page's scheme until the function that it returns is called. */
export function followScheme(host: HTMLElement): () => void {
  const look = () => {
    scheme.value = isDarkPage(host) ? "dark" : "light";
    host.dataset["theme"] = scheme.value;
  };
  const observer = new MutationObserver(look);
  for (const root of [document.documentElement, document.body]) observer.observe(root, { attributes: true });
  look();
  // The host is put into the page only after it was drawn.
  const frame = requestAnimationFrame(look);
  return () => {
    observer.disconnect();
    cancelAnimationFrame(frame);
  };
}

function isDarkPage(host: HTMLElement): boolean {
  const { body, documentElement } = document;
  const ofLab = body.dataset["jpThemeLight"] ?? documentElement.dataset["jpThemeLight"];
  if (ofLab) return ofLab === "false";
  if (body.dataset["vscodeThemeKind"]) return body.dataset["vscodeThemeKind"].includes("dark");
  if (documentElement.getAttribute("theme")) return documentElement.getAttribute("theme") === "dark";
  return isDarkGround(host);
}

function isDarkGround(host: HTMLElement): boolean {
  for (let element: HTMLElement | null = host; element; element = element.parentElement) {
    const [red = 255, green = 255, blue = 255, alpha = 1] = getComputedStyle(element).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [];
    if (alpha > 0.5) return red * 0.299 + green * 0.587 + blue * 0.114 < 128;
  }
  return false;
}

// Where the rows of a log stand in the box that one scrolls. Reads and writes the page.

/** The row that begins at a byte. */
export function elementOf(box: HTMLElement, start: number): Element | null {
  return box.querySelector(`[data-start="${start}"]`);
}

/** The row that is uppermost now, and where. */
export function topRow(box: HTMLElement): { start: number; top: number } | null {
  const upper = box.getBoundingClientRect().top;
  const elements = box.querySelectorAll<HTMLElement>("[data-start]");
  let low = 0;
  let high = elements.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((elements[middle]?.getBoundingClientRect().bottom ?? 0) > upper) high = middle;
    else low = middle + 1;
  }
  const element = elements[low];
  return element ? { start: Number(element.dataset["start"]), top: element.getBoundingClientRect().top - upper } : null;
}

/** Scrolls so that a row stands again where it stood. */
export function keepInPlace(box: HTMLElement, anchor: { start: number; top: number }): void {
  const element = elementOf(box, anchor.start);
  if (!element) return;
  const top = element.getBoundingClientRect().top - box.getBoundingClientRect().top;
  if (Math.abs(top - anchor.top) > 0.5) box.scrollTop += top - anchor.top;
}

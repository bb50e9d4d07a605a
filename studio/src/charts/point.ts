// Which run is pointed at: it stands out in all charts of a page.

import { signal } from "@preact/signals";

export const pointed = signal<string | null>(null);

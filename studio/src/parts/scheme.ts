// Whether what is drawn stands on dark ground: as the system has it, or as somebody has chosen.

import { computed, signal } from "@preact/signals";

export type Scheme = "system" | "light" | "dark";

const dark = matchMedia("(prefers-color-scheme: dark)");
const prefersDark = signal(dark.matches);
dark.addEventListener("change", (event) => {
  prefersDark.value = event.matches;
});

export const scheme = signal<Scheme>("system");
export const isDark = computed(() => (scheme.value === "system" ? prefersDark.value : scheme.value === "dark"));

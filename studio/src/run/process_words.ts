// Words about processes. Pure.

const SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  10: "SIGUSR1",
  11: "SIGSEGV",
  12: "SIGUSR2",
  13: "SIGPIPE",
  14: "SIGALRM",
  15: "SIGTERM",
};

/** "exit code 1", "SIGKILL (9)", or a dash where it has not ended. */
export function exitText({ exit_code, signal }: { exit_code: number | null; signal: number | null }): string {
  if (signal !== null) return SIGNALS[signal] ? `${SIGNALS[signal]} (${signal})` : `signal ${signal}`;
  return exit_code === null ? "–" : `exit code ${exit_code}`;
}

/** 0–2, 4 for 0, 1, 2, 4. */
export function ranges(numbers: Iterable<number>): string {
  const spans: [number, number][] = [];
  for (const number of [...new Set(numbers)].sort((a, b) => a - b)) {
    const last = spans.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else spans.push([number, number]);
  }
  return spans.map(([first, last]) => (first === last ? String(first) : `${first}–${last}`)).join(", ");
}

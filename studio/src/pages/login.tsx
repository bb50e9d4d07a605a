// Logging in: by a token that one types, or by the code behind the # of a link that `runyard studio` has printed.

import { useEffect, useState } from "preact/hooks";
import { send, session } from "../api/client";
import type { Session } from "../api/types";
import { ErrorNote } from "../parts/notes";
import { go, place } from "../router";

export function LoginPage() {
  const [error, setError] = useState("");
  const [token, setToken] = useState("");

  async function logIn(who: { token: string } | { code: string }): Promise<void> {
    setError("");
    try {
      session.value = await send<Session>("POST", "/session", who);
      if (place.value.path.startsWith("/login")) go(place.value.query.get("to") || "/runs", true);
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
    }
  }

  useEffect(() => {
    const code = new URLSearchParams(place.value.hash.slice(1)).get("code");
    if (!code) return;
    history.replaceState(null, "", location.pathname + location.search); // it is used up, and nobody's business
    void logIn({ code });
  }, []);

  return (
    <main class="login" id="main">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void logIn({ token: token.trim() });
        }}
      >
        <h1>Runyard Studio</h1>
        <label for="token">Token</label>
        <input
          id="token"
          type="password"
          autocomplete="current-password"
          required
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
        <button type="submit">Log in</button>
        {error && <ErrorNote>{error}</ErrorNote>}
        <p class="hint">
          On a machine that is set up for this collector, <code>runyard studio</code> prints a link that logs you in.
        </p>
      </form>
    </main>
  );
}

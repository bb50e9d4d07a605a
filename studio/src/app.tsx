// The page's frame: who is not logged in sees the login page, everybody else the navigation and one page.

import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { isReachable, send, session } from "./api/client";
import { PAGES } from "./pages";
import { LoginPage } from "./pages/login";
import { NotFoundPage } from "./pages/not_found";
import { GoingContext, Link } from "./parts/link";
import { ErrorNote } from "./parts/notes";
import { Notices } from "./parts/notices";
import { ThemeChoice } from "./parts/theme";
import { go, parts, place } from "./router";
import { titleOf } from "./title";

export function App() {
  return (
    <GoingContext.Provider value={GOING}>
      <Everything />
    </GoingContext.Provider>
  );
}

function Everything() {
  useEffect(() => {
    document.title = titleOf(parts.value, Boolean(session.value));
  }, [parts.value, session.value]);
  if (session.value === undefined) return isReachable.value ? <div class="booting" /> : <ErrorNote>The collector does not answer.</ErrorNote>;
  if (session.value === null || parts.value[0] === "login") return <LoginPage />;
  return <Frame>{page(parts.value)}</Frame>;
}

const GOING = {
  base: "",
  go: (to: string) => {
    go(to);
    return true;
  },
};

function page([first = "runs", ...rest]: readonly string[]): JSX.Element {
  return PAGES[first]?.show(rest) ?? <NotFoundPage />;
}

function Frame({ children }: { children: ComponentChildren }) {
  const current = parts.value[0] ?? "runs";
  useEffect(() => {
    // Whose focus went with the page before goes on from the content of this one.
    if (document.activeElement === document.body) document.getElementById("main")?.focus();
  }, [place.value.path]);
  return (
    <div class="frame">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="bar">
        <Link class="brand" to="/">
          Runyard
        </Link>
        <nav aria-label="Main">
          {Object.entries(PAGES).map(
            ([first, { name }]) =>
              name && (
                <Link key={first} to={`/${first}`} current={first === current}>
                  {name}
                </Link>
              ),
          )}
        </nav>
        <span class="grow" />
        {!isReachable.value && (
          <span class="offline" role="status">
            Collector not reachable, trying again
          </span>
        )}
        <ThemeChoice />
        <span class="who">{session.value?.subject || "administrator"}</span>
        <button type="button" class="quiet" onClick={() => void logOut()}>
          Log out
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <Notices />
    </div>
  );
}

async function logOut(): Promise<void> {
  await send("DELETE", "/session");
  session.value = null;
}

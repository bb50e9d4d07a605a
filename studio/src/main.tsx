import { render } from "preact";
import { lookAtSession } from "./api/client";
import { App } from "./app";
import { PAGES } from "./pages";
import { parts } from "./router";
import "./style.css";

// Before anything is drawn: what the page needs first comes while it is.
const [first = "runs", ...rest] = parts.value;
PAGES[first]?.load(rest);
void lookAtSession();

const place = document.getElementById("app");
if (place) render(<App />, place);

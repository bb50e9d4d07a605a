import { type Scheme, scheme } from "./scheme";

const KEY = "runyard.theme";
const NAMES: Record<Scheme, string> = { system: "System", light: "Light", dark: "Dark" };

function kept(): Scheme {
  const found = localStorage.getItem(KEY);
  return found === "light" || found === "dark" ? found : "system";
}

scheme.value = kept();

function apply(chosen: Scheme): void {
  if (chosen === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}

apply(scheme.value);

export function ThemeChoice() {
  return (
    <label class="theme">
      <span class="hidden">Theme</span>
      <select
        value={scheme.value}
        onChange={(event) => {
          scheme.value = event.currentTarget.value as Scheme;
          localStorage.setItem(KEY, scheme.value);
          apply(scheme.value);
        }}
      >
        {Object.entries(NAMES).map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

import { useState } from "preact/hooks";
const SHORT_PAIRS = 20;
/** Names with their values, by name. Without any, `empty` is said; with neither, nothing is shown. */
export function Pairs({ title, pairs, empty }: { title: string; pairs: Readonly<Record<string, string>>; empty: string }) {
  const [isWhole, setWhole] = useState(false);
  const all = Object.entries(pairs);
  if (!all.length && !empty) return null;
  const shown = isWhole ? all : all.slice(0, SHORT_PAIRS);
  return (
    <section aria-label={title}>
      <h2>
        {title} {all.length > SHORT_PAIRS && <span class="soft">({all.length})</span>}
      </h2>
      {all.length === 0 && <p class="soft">{empty}</p>}
      <dl class="pairs">
        {shown.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value || <span class="soft">(empty)</span>}</dd>
          </div>
        ))}
      </dl>
      {all.length > SHORT_PAIRS && (
        <button type="button" class="quiet" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
          {isWhole ? "Fewer" : `All ${all.length}`}
        </button>
      )}
    </section>
  );
}

// Views that were given a name: chosen, kept, removed.

import { useState } from "preact/hooks";
import { FormDialog } from "../parts/dialog";
import { Menu } from "../parts/menu";
import { tell } from "../parts/notices";
import { go, place } from "../router";
import { type SavedView, removeView, savedViews, saveView } from "./view";

/** `query`: how the table is looked at now, as it stands behind the ? of the address. */
export function ViewsMenu({ experiment, query }: { experiment: string | undefined; query: string }) {
  const [views, setViews] = useState(savedViews);
  const [asked, ask] = useState<"save" | "remove">();
  const ours = views.filter((one) => one.experiment === (experiment ?? null));
  const current = ours.find((one) => one.query === query);

  function close(): void {
    ask(undefined);
    setViews(savedViews());
  }

  return (
    <>
      <Menu
        label={current ? `View: ${current.name}` : "Views"}
        items={[
          ...ours.map((view) => ({ label: view.name, onChoose: () => go(`${place.value.path}${view.query && `?${view.query}`}`) })),
          { label: "Save this view…", onChoose: () => ask("save") },
          ...(current ? [{ label: `Remove “${current.name}”`, isDangerous: true, onChoose: () => ask("remove") }] : []),
          { label: "As at first", onChoose: () => go(place.value.path) },
        ]}
      />
      {asked === "save" && <SaveDialog experiment={experiment ?? null} query={query} onClose={close} />}
      {asked === "remove" && current && (
        <FormDialog
          title={`Remove the view “${current.name}”?`}
          action="Remove view"
          isDangerous
          onSubmit={async () => removeView(current)}
          onClose={close}
        >
          <p>The runs stay as they are; only the way to look at them is forgotten.</p>
        </FormDialog>
      )}
    </>
  );
}

function SaveDialog({ experiment, query, onClose }: Omit<SavedView, "name"> & { readonly onClose: () => void }) {
  const [name, setName] = useState("");
  return (
    <FormDialog
      title="Save this view"
      action="Save view"
      isDisabled={!name.trim()}
      onSubmit={async () => {
        saveView({ name: name.trim(), experiment, query });
        tell(`The view “${name.trim()}” is kept in this browser. The address of this page shows it to others, too.`);
      }}
      onClose={onClose}
    >
      <label>
        Name
        <input required maxLength={80} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <p class="hint">Filters, columns and sorting are kept in this browser.</p>
    </FormDialog>
  );
}

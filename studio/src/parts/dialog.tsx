// Dialogs: the browser's own <dialog>, which keeps the focus within, ends with Escape and gives the focus back.

import type { ComponentChildren } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import "./dialog.css";
import { ErrorNote } from "./notes";

interface DialogProps {
  readonly title: string;
  /** Called when the person leaves it: by Escape, by the button, by a click beside it. */
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

/** A dialog over the page, shown as long as it is rendered. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useLayoutEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class="dialog"
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault(); // whoever renders it takes it away
        onClose();
      }}
      onMouseDown={(event) => {
        if (event.target === event.currentTarget) onClose(); // the ground beside it
      }}
    >
      <div class="dialog-body">
        <h2 id={titleId}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}

interface FormDialogProps {
  readonly title: string;
  /** What the button does, as a verb: "Cancel run". */
  readonly action: string;
  /** The words of the button that leaves everything as it is. */
  readonly back?: string;
  readonly isDangerous?: boolean;
  readonly isDisabled?: boolean;
  /** Does it; the dialog stays open with the sentence of what this throws, and closes otherwise. */
  readonly onSubmit: () => Promise<void>;
  readonly onClose: () => void;
  readonly children?: ComponentChildren;
}

/** A dialog with something to fill in or to confirm. It tells what went wrong where one can try again. */
export function FormDialog(props: FormDialogProps) {
  const [error, setError] = useState("");
  const [isBusy, setBusy] = useState(false);
  async function submit(): Promise<void> {
    setBusy(true);
    setError("");
    try {
      await props.onSubmit();
      props.onClose();
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure));
      setBusy(false);
    }
  }
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form
        class="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        {props.children}
        {error && <ErrorNote>{error}</ErrorNote>}
        <div class="dialog-buttons">
          <button type="button" onClick={props.onClose}>
            {props.back ?? "Back"}
          </button>
          <button type="submit" class={props.isDangerous ? "dangerous" : ""} disabled={isBusy || props.isDisabled}>
            {props.action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

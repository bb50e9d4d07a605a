// A button with a menu behind it: arrows move, Enter chooses, Escape leaves and gives the focus back to the button.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import "./menu.css";

export interface MenuItem {
  readonly label: string;
  readonly onChoose: () => void;
  readonly isDangerous?: boolean;
  readonly isDisabled?: boolean;
  /** Why it cannot be chosen, or what it does. */
  readonly title?: string;
}

interface MenuProps {
  readonly label: string;
  /** What the button shows in place of its label. */
  readonly children?: ComponentChildren;
  readonly items: readonly MenuItem[];
  readonly class?: string;
}

const STEPS: Record<string, (at: number, count: number) => number> = {
  ArrowDown: (at, count) => (at + 1) % count,
  ArrowUp: (at, count) => (at + count - 1) % count,
  Home: () => 0,
  End: (_, count) => count - 1,
};

export function Menu({ label, items, children, ...rest }: MenuProps) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();

  function close(): void {
    setOpen(false);
    button.current?.focus();
  }

  return (
    <>
      <button
        type="button"
        {...rest}
        ref={button}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        {...(isOpen ? { "aria-controls": id } : {})}
        {...(children ? { "aria-label": label } : {})}
        onClick={() => setOpen(!isOpen)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        {children ?? label}
      </button>
      {isOpen && <Items id={id} label={label} items={items} button={button.current} close={close} leave={() => setOpen(false)} />}
    </>
  );
}

interface ItemsProps {
  readonly id: string;
  readonly label: string;
  readonly items: readonly MenuItem[];
  readonly button: HTMLElement | null;
  readonly close: () => void;
  readonly leave: () => void;
}

/** The open menu. It lies in the top layer, so that no scrolling box cuts it off. */
function Items({ id, label, items, button, close, leave }: ItemsProps) {
  const list = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!list.current) return;
    list.current.showPopover();
    if (button) placeBelow(list.current, button.getBoundingClientRect());
    entries(list.current)[0]?.focus();
  }, []);
  useLeaving(list, button, leave);
  return (
    <div
      ref={list}
      id={id}
      class="menu"
      role="menu"
      aria-label={label}
      popover="manual"
      onKeyDown={(event) => {
        if (event.key === "Escape") {
          event.preventDefault(); // a dialog around it stays
          close();
        } else if (event.key === "Tab") leave();
        else move(event, list.current);
      }}
    >
      {items.map((item) => (
        <button
          key={item.label}
          type="button"
          role="menuitem"
          tabIndex={-1}
          class={item.isDangerous ? "danger" : ""}
          title={item.title}
          aria-disabled={item.isDisabled ?? false}
          onClick={() => {
            if (item.isDisabled) return;
            close();
            item.onChoose();
          }}
        >
          {item.label}
        </button>
      ))}
    </div>
  );
}

function entries(list: HTMLElement | null): HTMLElement[] {
  return [...(list?.querySelectorAll<HTMLElement>('[role="menuitem"]') ?? [])];
}

function move(event: KeyboardEvent, list: HTMLElement | null): void {
  const all = entries(list);
  const at = all.indexOf(document.activeElement as HTMLElement);
  const step = STEPS[event.key];
  const letter = event.key.length === 1 && event.key !== " " ? event.key.toLowerCase() : "";
  const next = step
    ? all[step(at, all.length)]
    : letter && [...all.slice(at + 1), ...all.slice(0, at + 1)].find((one) => one.textContent?.toLowerCase().startsWith(letter));
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function placeBelow(list: HTMLElement, button: DOMRect): void {
  const { width, height } = list.getBoundingClientRect();
  const right = button.left + width > innerWidth - 8;
  list.style.left = `${Math.max(8, right ? button.right - width : button.left)}px`;
  const isBelow = button.bottom + height + 4 <= innerHeight;
  list.style.top = `${isBelow ? button.bottom + 4 : Math.max(8, button.top - height - 4)}px`;
}

/** Leaves the menu when something else is clicked, or its button has been scrolled out of sight; it moves along with the button. */
function useLeaving(list: { current: HTMLElement | null }, button: HTMLElement | null, leave: () => void): void {
  useEffect(() => {
    function outside(event: Event): void {
      const target = event.target as Node;
      if (!list.current?.contains(target) && !button?.contains(target)) leave();
    }
    function scrolled(event: Event): void {
      if (!list.current || !button || !event.target || !(event.target as Node).contains(button)) return;
      if (isSeen(button, event.target)) placeBelow(list.current, button.getBoundingClientRect());
      else leave();
    }
    document.addEventListener("pointerdown", outside, true);
    addEventListener("resize", leave);
    document.addEventListener("scroll", scrolled, true);
    return () => {
      document.removeEventListener("pointerdown", outside, true);
      removeEventListener("resize", leave);
      document.removeEventListener("scroll", scrolled, true);
    };
  }, []);
}

/** Whether any of the button is seen in the window, and in the box that was scrolled. */
function isSeen(button: HTMLElement, box: EventTarget): boolean {
  const { top, bottom } = button.getBoundingClientRect();
  const outer = box instanceof Element ? box.getBoundingClientRect() : { top: 0, bottom: innerHeight };
  return bottom > Math.max(0, outer.top) && top < Math.min(innerHeight, outer.bottom);
}

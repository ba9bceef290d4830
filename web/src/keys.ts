/** Keys that work wherever the focus is, but where one types. */

import { look, redo, undo, zoomTo } from "./actions";
import { brush, brushSize, choice, held, loupe, mode, resultSize, saving, task, wipeAt } from "./state";
import { zoomedAt, zoomOf } from "./view";

export function toggleBrush(): void {
  if (!task.peek()?.maps) return;
  brush.value = !brush.value;
  if (brush.value) loupe.value = false;
  if (brush.value && narrow()) saving.value = false;
}

export function toggleSaving(): void {
  saving.value = !saving.value;
  if (saving.value && narrow()) brush.value = false;
}

/** Whether two panels would hide the photo. */
function narrow(): boolean {
  return matchMedia("(max-width: 700px)").matches;
}

const NEXT_LARGER = 2 ** 0.5;

function zoomBy(factor: number): void {
  look((view, pane, photo, scale) => {
    const middle = { x: pane.left + pane.width / 2, y: pane.top + pane.height / 2 };
    return zoomedAt(view, zoomOf(view, pane, resultSize.peek()) * factor, middle, pane, photo, scale);
  });
}

const KEYS: Record<string, () => void> = {
  "0": () => zoomTo("fit"),
  f: () => zoomTo("fit"),
  "1": () => zoomTo(1),
  "2": () => zoomTo(2),
  "+": () => zoomBy(NEXT_LARGER),
  "=": () => zoomBy(NEXT_LARGER),
  "-": () => zoomBy(1 / NEXT_LARGER),
  w: () => (mode.value = mode.value === "wipe" ? "after" : "wipe"),
  s: () => (mode.value = mode.value === "side" ? "after" : "side"),
  l: () => (loupe.value = !loupe.value),
  b: toggleBrush,
  "[": () => (brushSize.value = Math.max(8, Math.round(brushSize.value / 1.2))),
  "]": () => (brushSize.value = Math.min(300, Math.round(brushSize.value * 1.2))),
  "<": () => (wipeAt.value = Math.max(0, wipeAt.value - 0.05)),
  ">": () => (wipeAt.value = Math.min(1, wipeAt.value + 0.05)),
  Escape: () => {
    brush.value = false;
    loupe.value = false;
    saving.value = false;
  },
};

export function listenForKeys(): () => void {
  const stop = new AbortController();
  const typed = (event: KeyboardEvent) => {
    const { target } = event;
    return target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && target.type !== "range");
  };
  window.addEventListener("keydown", (event) => {
    if (typed(event) || choice.peek() === null) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      if (event.shiftKey) redo();
      else undo();
    } else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (event.key === " ") {
      if (event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement) return; // presses it
      event.preventDefault();
      held.value = true;
    } else KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.();
  }, { signal: stop.signal });
  window.addEventListener("keyup", (event) => {
    if (event.key === " ") held.value = false;
  }, { signal: stop.signal });
  window.addEventListener("blur", () => (held.value = false), { signal: stop.signal });
  return () => stop.abort();
}

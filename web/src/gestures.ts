/** What hands do to the photo: pan, zoom, pinch, paint; by pointer, wheel and arrow keys. */

import { signal } from "@preact/signals";
import { draftOf, endStroke, look } from "./actions";
import { paint } from "./brushmap";
import type { Photo } from "./photo";
import { brush, brushSize, canvasSize, current, loupe, panes, resultSize, scale, tool } from "./state";
import { place, zoomedAt, zoomOf, type Pane } from "./view";

/** Where the pointer is, device pixels of the canvas; null if it is elsewhere. */
export const pointer = signal<{ x: number; y: number } | null>(null);

const PAN = 80; // device-independent pixels for each press of an arrow key

export function moveByKeys(event: KeyboardEvent): void {
  const by = { ArrowLeft: [-PAN, 0], ArrowRight: [PAN, 0], ArrowUp: [0, -PAN], ArrowDown: [0, PAN] }[event.key];
  if (!by || event.target !== event.currentTarget) return;
  event.preventDefault();
  const [x, y] = by as [number, number];
  const { ratio } = canvasSize.value;
  if (loupe.value) {
    const { width, height } = canvasSize.value;
    const at = pointer.value ?? { x: width / 2, y: height / 2 };
    pointer.value = { x: at.x + (x * ratio) / 4, y: at.y + (y * ratio) / 4 };
  } else pan(-x * ratio, -y * ratio);
}

function pan(x: number, y: number): void {
  look((view, pane, photo, factor) => {
    const { density } = place(view, pane, photo, factor);
    return { ...view, x: view.x - x / density, y: view.y - y / density };
  });
}

/** The pane under a point, and the point as if it were in the first one. */
function inPane(at: { x: number; y: number }): { x: number; y: number; pane: Pane } {
  const [first, second] = panes.peek();
  const inSecond = second && (second.left ? at.x >= second.left : at.y >= second.top);
  return inSecond ? { x: at.x - second.left, y: at.y - second.top, pane: first! } : { ...at, pane: first! };
}

/** A point of the canvas in pixels of the photo. */
export function inPhoto(photo: Photo, at: { x: number; y: number }): { x: number; y: number; density: number } {
  const { x, y, pane } = inPane(at);
  const { left, top, density } = place(photo.view.peek(), pane, photo.size, scale.peek());
  return { x: (x - left) / density, y: (y - top) / density, density };
}

export function gestures(canvas: HTMLCanvasElement): () => void {
  const down = new Map<number, { x: number; y: number }>();
  let painting: { photo: Photo; last: { x: number; y: number } } | null = null;
  const stop = new AbortController();
  const at = (event: MouseEvent) => {
    const { left, top } = canvas.getBoundingClientRect();
    const { ratio } = canvasSize.peek();
    return { x: (event.clientX - left) * ratio, y: (event.clientY - top) * ratio };
  };
  const zoomBy = (factor: number, around: { x: number; y: number }) => {
    const local = inPane(around);
    look((view, pane, photo, enlargement) => {
      const zoom = zoomOf(view, pane, resultSize.peek()) * factor;
      return zoomedAt(view, zoom, local, pane, photo, enlargement);
    });
  };
  const stroke = (photo: Photo, to: { x: number; y: number }, from = to) => {
    const map = draftOf(photo);
    const shrink = map.width / photo.size.width;
    const { density } = inPhoto(photo, { x: 0, y: 0 });
    const radius = (brushSize.peek() / 2) * canvasSize.peek().ratio / density * shrink;
    const scaled = (point: { x: number; y: number }) => ({ x: point.x * shrink, y: point.y * shrink });
    paint(map, { from: scaled(from), to: scaled(to), radius, value: tool.peek() === "paint" ? 255 : 0 });
    photo.draft.value = { map };
  };
  const listen = <Name extends keyof HTMLElementEventMap>(name: Name, heard: (event: HTMLElementEventMap[Name]) => void) =>
    canvas.addEventListener(name, heard, { signal: stop.signal, passive: false });

  listen("pointerdown", (event) => {
    const photo = current.peek();
    if (!photo?.info.peek()) return;
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    pointer.value = at(event);
    if (brush.peek() && down.size === 1 && event.button === 0) {
      const last = inPhoto(photo, at(event));
      painting = { photo, last };
      stroke(photo, last);
    } else if (painting) {
      endStroke(painting.photo); // a second finger zooms
      painting = null;
    }
  });
  listen("pointermove", (event) => {
    const now = at(event);
    pointer.value = now;
    const before = down.get(event.pointerId);
    if (!before) return;
    if (painting) {
      for (const part of event.getCoalescedEvents?.() ?? [event]) {
        const next = inPhoto(painting.photo, at(part));
        stroke(painting.photo, next, painting.last);
        painting.last = next;
      }
    } else if (down.size === 1 && !loupe.peek()) pan(now.x - before.x, now.y - before.y);
    else if (down.size === 2) {
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const apart = (point: { x: number; y: number }) => Math.hypot(point.x - other!.x, point.y - other!.y);
      pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      zoomBy(apart(now) / Math.max(apart(before), 1), { x: (now.x + other!.x) / 2, y: (now.y + other!.y) / 2 });
    }
    down.set(event.pointerId, now);
  });
  const up = (event: PointerEvent) => {
    down.delete(event.pointerId);
    if (painting) endStroke(painting.photo);
    painting = null;
  };
  listen("pointerup", up);
  listen("pointercancel", up);
  listen("pointerleave", (event) => {
    if (!down.has(event.pointerId) && event.pointerType === "mouse") pointer.value = null;
  });
  listen("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), at(event));
  });
  listen("dblclick", (event) => {
    if (brush.peek()) return;
    const local = inPane(at(event));
    look((view, pane, photo, enlargement) =>
      view.zoom === "fit" ? zoomedAt(view, 1, local, pane, photo, enlargement) : { ...view, zoom: "fit" });
  });
  return () => stop.abort();
}

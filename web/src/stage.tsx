/** The photo in the middle: drawing, zoom and pan, wipe, loupe and brush. */

import { effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { paint } from "./brushmap";
import { drawAfter, drawBefore, drawMap, type Picture } from "./draw";
import {
  brush, brushSize, canvasSize, choice, current, draftOf, endStroke, held, level, look, loupe, mode,
  original, originalFrame, panes, photos, resultSize, restored, restoredScene, originalScene, said, scale, showMap, shown, task,
  tool, warmth, wipeAt, type Photo,
} from "./state";
import { Loupe } from "./loupe";
import { phrase } from "./levels";
import { place, zoomedAt, zoomOf, type Pane } from "./view";

/** Where the pointer is, device pixels of the canvas; null if it is elsewhere. */
export const pointer = signal<{ x: number; y: number } | null>(null);

export function Stage() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => watchSize(canvas.current!), []);
  useEffect(() => keepDrawn(canvas.current!), []);
  useEffect(() => gestures(canvas.current!), []);
  const photo = current.value;
  const info = photo?.info.value;
  return (
    <section
      class="stage" aria-label="Photo" tabIndex={0} onKeyDown={moveByKeys}
      data-kind={shown.value.kind} data-busy={restored.busy.value || undefined} data-idle={restored.idle.value || undefined}
      data-warm={`${warmth.value.ready}/${warmth.value.all}`} data-brush={brush.value || undefined}
    >
      <canvas ref={canvas} role="img" aria-label={describe(photo)} />
      {mode.value === "wipe" && info && <Wipe />}
      {loupe.value && info && <Loupe />}
      {info && <Tags />}
      {info && <Status />}
      {photo?.error.value && <p class="error centred" role="alert">{photo.file.name}: {photo.error.value}</p>}
      {photo && !info && !photo.error.value && <p class="centred quiet">Reading {photo.file.name}…</p>}
    </section>
  );
}

function describe(photo: Photo | null): string {
  const [info, now] = [photo?.info.value, choice.value];
  if (!info || !now) return "No photo";
  return `${info.name}, ${info.width} by ${info.height} pixels, ${phrase(now.task, level.value)}`;
}

function Tags() {
  if (held.value) return <div class="tags"><span class="tag">before</span></div>;
  if (mode.value === "after") return null;
  const stacked = panes.value[1]?.left === 0;
  return (
    <div class="tags two" data-mode={stacked ? "stacked" : mode.value}>
      <span class="tag">before</span><span class="tag">after</span>
    </div>
  );
}

function Status() {
  const { kind, blend } = shown.value;
  const size = resultSize.value;
  const pane = panes.value[0]!;
  const zoom = current.value ? zoomOf(current.value.view.value, pane, size) : 1;
  const failed = restored.error.value ?? original.error.value ?? current.value?.mapError.value;
  const reduced = blend && blend.lower.region.reduce > 1;
  const word = held.value ? "the photo as it is" : kind === "reduced" || (reduced && kind === "preview") ? `reduced preview 1:${blend!.lower.region.reduce}` : kind;
  return (
    <div class="status">
      <p class="chip" title={TITLES[kind]}>
        <i class={`dot ${kind}`} data-busy={restored.busy.value || undefined} />{word}
        <span class="quiet">{Math.round(zoom * 100)} %</span>
        <span class="quiet wide">{size.width} × {size.height}</span>
      </p>
      {failed && <p class="error" role="alert">{failed}</p>}
      <p class="unseen" role="status" aria-live="polite">{said.value}</p>
    </div>
  );
}

const TITLES = {
  exact: "These are the pixels of the result.",
  preview: "A blend of neighbouring levels. Exact pixels follow when the dial rests.",
  reduced: "The photo was shrunk for this view. Zoom in to see the exact pixels; the download is always exact.",
};

function Wipe() {
  const drag = (event: PointerEvent) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const handle = event.currentTarget as HTMLElement;
    handle.setPointerCapture(event.pointerId);
    const { left, width } = handle.parentElement!.getBoundingClientRect();
    wipeAt.value = Math.min(Math.max((event.clientX - left) / width, 0), 1);
  };
  const byKeys = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    wipeAt.value = Math.min(Math.max(wipeAt.value + step, 0), 1);
  };
  const percent = Math.round(wipeAt.value * 100);
  return (
    <div
      class="wipe" role="slider" tabIndex={0} aria-label="Wipe between before and after" aria-valuemin={0} aria-valuemax={100}
      aria-valuenow={percent} aria-valuetext={`${percent} % before`} style={{ left: `${wipeAt.value * 100}%` }}
      onPointerDown={drag} onPointerMove={drag} onKeyDown={byKeys}
    ><i /></div>
  );
}

const PAN = 80; // device-independent pixels for each press of an arrow key

function moveByKeys(event: KeyboardEvent): void {
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

function gestures(canvas: HTMLCanvasElement): () => void {
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

function watchSize(canvas: HTMLCanvasElement): () => void {
  const watcher = new ResizeObserver(() => {
    const { width, height } = canvas.parentElement!.getBoundingClientRect();
    const ratio = window.devicePixelRatio;
    const next = { width: Math.max(1, Math.round(width * ratio)), height: Math.max(1, Math.round(height * ratio)), ratio };
    canvas.width = next.width; // clears it; the effect below draws it again
    canvas.height = next.height;
    canvasSize.value = next;
  });
  watcher.observe(canvas.parentElement!);
  return () => watcher.disconnect();
}

/** Draw again, once for each frame of the screen, whenever something that is seen has changed. */
function keepDrawn(canvas: HTMLCanvasElement): () => void {
  const context = canvas.getContext("2d")!;
  let asked = 0;
  const stop = effect(() => {
    const draw = drawing(context);
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  });
  return () => {
    stop();
    cancelAnimationFrame(asked);
  };
}

/** Read everything that the drawing depends on; draw later. */
function drawing(context: CanvasRenderingContext2D): () => void {
  const { width, height, ratio } = canvasSize.value;
  const photo = current.value;
  const scene = restoredScene.value;
  const before = originalScene.value;
  const { blend } = shown.value;
  const parts = panes.value;
  const [kind, hidden, wipe, painting] = [mode.value, held.value, wipeAt.value, brush.value];
  const map = photo ? photo.draft.value?.map ?? choice.value?.map : null;
  const tinted = showMap.value || photo?.draft.value != null;
  const ring = painting ? { at: pointer.value, radius: (brushSize.value / 2) * ratio } : null;
  const picture: Picture | null = photo?.info.value ? {
    photo: photo.size, view: photo.view.value, scale: scale.value, whole: photo.whole.value, original: originalFrame()
      ?? (before ? original.standIn(before) : null), standIn: scene && !blend ? restored.standIn(scene) : null, blend,
  } : null;
  photos.value; task.value; restored.version.value; // and what they stand for
  return () => {
    context.clearRect(0, 0, width, height);
    if (!picture) return;
    const [first, second] = parts;
    if (hidden) {
      for (const pane of parts) drawBefore(context, pane, picture);
    } else if (kind === "side" && second) {
      drawBefore(context, first!, picture);
      drawAfter(context, second, picture); // panes have the same size: the view is the same
    } else if (kind === "wipe") {
      drawAfter(context, first!, picture);
      const covered = { ...first!, width: Math.round(wipe * width) };
      context.save();
      context.beginPath();
      context.rect(0, 0, covered.width, height);
      context.clip();
      context.clearRect(0, 0, covered.width, height);
      drawBefore(context, first!, picture);
      context.restore();
    } else drawAfter(context, first!, picture);
    if (painting && map && !hidden && tinted) for (const pane of parts) drawMap(context, pane, picture, map);
    if (ring?.at) {
      for (const [colour, thickness] of [["#000", 3], ["#fff", 1]] as const) {
        context.beginPath();
        context.arc(ring.at.x, ring.at.y, ring.radius, 0, 2 * Math.PI);
        context.strokeStyle = colour;
        context.lineWidth = thickness * ratio;
        context.stroke();
      }
    }
  };
}


/** The photo in the middle, with what lies over it, drawn again whenever something that is seen has changed. */

import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { drawAfter, drawBefore, drawMap, type Picture } from "./draw";
import { gestures, moveByKeys, pointer } from "./gestures";
import { AS_IT_IS } from "./history";
import { Loupe } from "./loupe";
import type { Photo } from "./photo";
import { original, originalFrame, originalScene, restored, restoredScene, said, shown, standIn, warmth } from "./scenes";
import {
  brush, brushSize, canvasSize, choice, current, held, loupe, mode, panes, phraseNow, resultSize, scale, showMap, untouched, wipeAt,
} from "./state";
import { zoomOf } from "./view";

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
      data-warm={warmth.value.views} data-small={warmth.value.small}
      data-brush={brush.value || undefined}
    >
      <canvas ref={canvas} role="img" aria-label={describe(photo)} />
      {mode.value === "wipe" && info && <Wipe />}
      {loupe.value && info && <Loupe />}
      {info && <Tags />}
      {info && <Status />}
      {photo?.error.value && <p class="error centred" role="alert">{named(photo.file.name, photo.error.value)}</p>}
      {photo && !info && !photo.error.value && <p class="centred quiet">Reading {photo.file.name}…</p>}
    </section>
  );
}

/** A sentence that begins with the file's name; the server's own begin so already. */
function named(name: string, sentence: string): string {
  return sentence.startsWith(`${name}: `) ? sentence : `${name}: ${sentence}`;
}

function describe(photo: Photo | null): string {
  const [info, now] = [photo?.info.value, choice.value];
  if (!info || !now) return "No photo";
  return `${info.name}, ${info.width} by ${info.height} pixels, ${untouched.value ? AS_IT_IS : phraseNow.value}`;
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
  const word = held.value ? "original" : kind === "reduced" || (reduced && kind === "preview") ? `reduced preview 1:${blend!.lower.region.reduce}`
    : kind === "untouched" ? `nothing found, ${AS_IT_IS}` : kind;
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
  exact: "These are the exact pixels of the result.",
  untouched: "This task found nothing to repair. Saving copies the file unchanged. Turn the dial to repair the photo anyway.",
  preview: "A blend of neighbouring levels. Exact pixels follow when the dial stops.",
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
      ?? (before ? original.standIn(before, 0) : null), standIn: scene && !blend && !untouched.value ? standIn() : null, blend,
  } : null;
  restored.version.value; // and the frames that stand in
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


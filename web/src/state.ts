/** All that the page knows, as signals. */

import { computed, signal, type Signal } from "@preact/signals";
import type { Choice } from "./history";
import {
  andFurther, FIELDS, furtherTrack, phrase, trackOf, valueOf, type Field, type Further, type Task, type TaskName, type Track,
} from "./levels";
import type { Photo } from "./photo";
import type { Server } from "./server";
import { enlarged, type Pane, type Size } from "./view";

export type Mode = "after" | "wipe" | "side";
export type Tool = "paint" | "erase";
export type Theme = "auto" | "light" | "dark";

export const server = signal<Server | null>(null);
export const trouble = signal<string | null>(null);
export const photos = signal<Photo[]>([]);
export const currentKey = signal(0);
/** The level, and further ones, while they are being turned. */
export const liveLevel = signal<number | null>(null);
export const liveFurther: Record<Field, Signal<number | null>> = {
  softness: signal(null), colour_noise: signal(null), jpeg_quality: signal(null),
};
export const mode = signal<Mode>("after");
export const wipeAt = signal(0.5);
export const held = signal(false);
export const loupe = signal(false);
export const brush = signal(false);
export const tool = signal<Tool>("paint");
export const brushSize = signal(60);
export const showMap = signal(true);
export const saving = signal(false);
/** Whether the sliders that are folded away where there is little room are to be seen. */
export const unfolded = signal(false);
export const canvasSize = signal<Size & { ratio: number }>({ width: 1, height: 1, ratio: 1 });
export const theme = signal<Theme>((localStorage.getItem("theme") as Theme | null) ?? "auto");

export const current = computed(() => photos.value.find((photo) => photo.key === currentKey.value) ?? null);
export const choice = computed<Choice | null>(() => (current.value?.info.value ? current.value.history.value.now : null));
/** Whether the photo is left as it is: nothing was found to repair, and no level was chosen. */
export const untouched = computed(() => choice.value?.level === null && !turning.value);
/** Where the dial stands; where the photo is left as it is, at the weakest level. */
export const level = computed(() => liveLevel.value ?? choice.value?.level ?? task.value?.weakest ?? 0);
export const task = computed<Task | null>(() => taskOf(choice.value?.task));
export const track = computed<Track>(() => (task.value ? trackOf(task.value) : { stops: [], step: 1 }));
export const stops = computed(() => track.value.stops);
export const scale = computed(() => (task.value?.task === "upscale" ? level.value : 1));

/** The further level that is being turned. */
const liveField = computed(() => FIELDS.find((field) => liveFurther[field].value !== null) ?? null);
/** Whether a slider is being turned. */
export const turning = computed(() => liveLevel.value !== null || liveField.value !== null);
/** The further levels that were moved, with what is being turned. */
const moved = computed<Further>(() => {
  const field = liveField.value;
  const chosen = choice.value?.further ?? {};
  return field ? { ...chosen, [field]: liveFurther[field].value } : chosen;
});
/** Where the sliders of all further levels of the task stand. */
export const further = computed<Further>(() =>
  Object.fromEntries(task.value?.axes.map((axis) => [axis.field, valueOf(axis, level.value, moved.value)]) ?? []));
/** "noise 18, JPEG quality 20", "scale 2×, softness 1.5": what the sliders say now. */
export const phraseNow = computed(() => (task.value ? phrase(task.value.task, level.value) + andFurther(moved.value) : ""));

/** The further level that views differ in; null for the level itself. Views of two scales cannot be blended. */
export const along = computed<Field | null>(() => {
  const fields = task.value?.axes.map(({ field }) => field) ?? [];
  if (task.value?.task === "upscale") return fields[0] ?? null;
  const turned = liveField.value ?? (liveLevel.value === null ? current.value?.turned.value : null);
  return fields.find((field) => field === turned) ?? null;
});
/** Where the slider stands that views differ in, where it stood before it was turned, and its stops. */
export const dial = computed(() => {
  const axis = task.value?.axes.find(({ field }) => field === along.value);
  const settled = choice.value?.level ?? task.value?.weakest ?? 0;
  if (!axis) return { at: level.value, rest: settled, stops: stops.value };
  const rest = valueOf(axis, settled, choice.value?.further ?? {});
  return { at: further.value[axis.field] ?? rest, rest, stops: furtherTrack(axis).stops };
});

/** The level that something painted or put back needs, if none was chosen. */
export function levelFor({ task: name, level: chosen }: Choice): number {
  const known = taskOf(name);
  return chosen ?? known?.usual[0] ?? known?.weakest ?? 0;
}

export function taskOf(name: TaskName | undefined): Task | null {
  return server.value?.page.tasks.find((one) => one.task === name) ?? null;
}

/** Parts of the canvas: one, or two of the same size for a look side by side. */
export const panes = computed<Pane[]>(() => {
  const { width, height, ratio } = canvasSize.value;
  if (mode.value !== "side") return [{ left: 0, top: 0, width, height }];
  const gap = Math.round(2 * ratio);
  if (width >= height) {
    const half = Math.floor((width - gap) / 2);
    return [{ left: 0, top: 0, width: half, height }, { left: half + gap, top: 0, width: half, height }];
  }
  const half = Math.floor((height - gap) / 2);
  return [{ left: 0, top: 0, width, height: half }, { left: 0, top: half + gap, width, height: half }];
});

export const resultSize = computed<Size>(() => enlarged(current.value?.size ?? { width: 1, height: 1 }, scale.value));

/** All that the page knows, as signals, and what a person can do to it. */

import { batch, computed, effect, signal } from "@preact/signals";
import { encoded, filled, type BrushMap } from "./brushmap";
import { Frames, type Frame, type Scene, type Target } from "./frames";
import { begun, chosen, lastLevel, redone, undone, type Choice, type History } from "./history";
import { phrase, stopsOf, type Task, type TaskName } from "./levels";
import { sentenceOf, Server, ServerError, type Job, type JobWanted, type PhotoInfo, type Wanted } from "./server";
import { clamped, enlarged, regionAround, regionOf, shrunk, type Pane, type Region, type Size, type View } from "./view";

export type Mode = "after" | "wipe" | "side";
export type Tool = "paint" | "erase";
export type Theme = "auto" | "light" | "dark";

/** A photo of this page, from the moment it is dropped. */
export class Photo {
  readonly info = signal<PhotoInfo | null>(null);
  readonly error = signal<string | null>(null);
  readonly history = signal<History>(begun({ task: "denoise", level: 0, map: null }));
  readonly view = signal<View>({ x: 0, y: 0, zoom: "fit" });
  /** The whole photo, shrunk: the thumbnail, and what is seen until sharper pixels come. */
  readonly whole = signal<Frame | null>(null);
  readonly job = signal<Job | null>(null);
  /** What the job was asked for: the dial may have moved on since. */
  readonly jobChoice = signal<Choice | null>(null);
  readonly jobError = signal<string | null>(null);
  readonly mapError = signal<string | null>(null);
  /** The map as it is painted, before the stroke ends. */
  readonly draft = signal<{ map: BrushMap } | null>(null);
  readonly mapId = signal<{ map: BrushMap; id: string } | null>(null);

  constructor(readonly key: number, readonly file: File) {}

  get size(): Size {
    return this.info.value ?? { width: 1, height: 1 };
  }
}

export const server = signal<Server | null>(null);
export const trouble = signal<string | null>(null);
export const photos = signal<Photo[]>([]);
export const currentKey = signal(0);
export const liveLevel = signal<number | null>(null);
export const mode = signal<Mode>("after");
export const wipeAt = signal(0.5);
export const held = signal(false);
export const loupe = signal(false);
export const brush = signal(false);
export const tool = signal<Tool>("paint");
export const brushSize = signal(60);
export const showMap = signal(true);
export const saving = signal(false);
export const canvasSize = signal<Size & { ratio: number }>({ width: 1, height: 1, ratio: 1 });
export const theme = signal<Theme>((localStorage.getItem("theme") as Theme | null) ?? "auto");

export const current = computed(() => photos.value.find((photo) => photo.key === currentKey.value) ?? null);
export const choice = computed<Choice | null>(() => (current.value?.info.value ? current.value.history.value.now : null));
export const level = computed(() => liveLevel.value ?? choice.value?.level ?? 0);
export const task = computed<Task | null>(() => taskOf(choice.value?.task));
export const stops = computed(() => (task.value ? stopsOf(task.value) : []));
export const scale = computed(() => (task.value?.task === "upscale" ? level.value : 1));

function taskOf(name: TaskName | undefined): Task | null {
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

/** The view after a moment without movement: what pixels are fetched for. */
const restingView = signal<{ key: number; view: View }>({ key: 0, view: { x: 0, y: 0, zoom: "fit" } });
const REST = 120; // ms
let resting: ReturnType<typeof setTimeout> | undefined;
effect(() => {
  const photo = current.value;
  if (!photo) return;
  const next = { key: photo.key, view: photo.view.value };
  clearTimeout(resting);
  if (restingView.peek().key !== photo.key) restingView.value = next;
  else resting = setTimeout(() => (restingView.value = next), REST);
});

export const restored = new Frames();
export const original = new Frames();

/** Fetch a region, in bands where it is too large for one request. */
async function fetchRegion(photo: Photo, wanted: Wanted, unit: number, abort: AbortSignal): Promise<Frame> {
  const { region } = wanted;
  const connection = server.peek();
  const id = photo.info.peek()?.id;
  if (!connection || !id) throw new ServerError("The photo is not there yet.", 0);
  const rows = Math.max(1, Math.floor(connection.page.limits.view_pixels / region.width));
  if (rows >= region.height) return { bitmap: await connection.region(id, wanted, abort), region, unit };
  const whole = new OffscreenCanvas(region.width, region.height);
  for (let top = 0; top < region.height; top += rows) {
    const height = Math.min(rows, region.height - top);
    const part = { ...wanted, region: { ...region, top: region.top + top, height } };
    const bitmap = await connection.region(id, part, abort);
    whole.getContext("2d")!.drawImage(bitmap, 0, top);
    bitmap.close();
  }
  return { bitmap: whole.transferToImageBitmap(), region, unit };
}

function named({ left, top, width, height, reduce }: Region): string {
  return [left, top, width, height, reduce].join();
}

/** The part of the photo that is seen, as it is. */
export const originalScene = computed<Scene | null>(() => {
  const photo = current.value;
  const pane = panes.value[0];
  if (!photo?.info.value || !pane || restingView.value.key !== photo.key) return null;
  // The part that is seen of the result, in pixels of the photo.
  const factor = scale.value;
  const { view } = restingView.value;
  const zoom = view.zoom === "fit" ? view.zoom : view.zoom * factor;
  const region = regionOf({ ...view, zoom }, pane, photo.size, 1);
  return {
    key: `${photo.key} ${named(region)}`,
    group: String(photo.key),
    fetch: (_level, background, abort) => fetchRegion(photo, { region, background }, region.reduce, abort),
  };
});

/** The part of the result that is seen. */
export const restoredScene = computed<Scene | null>(() => {
  const photo = current.value;
  const pane = panes.value[0];
  const now = choice.value;
  if (!photo?.info.value || !pane || !now || restingView.value.key !== photo.key) return null;
  const map = photo.mapId.value;
  if (now.map && map?.map !== now.map) return null; // on its way to the server
  const factor = scale.value;
  const region = regionOf(restingView.value.view, pane, photo.size, factor);
  return sceneOf(photo, now.task, region, factor, now.map ? map!.id : undefined);
});

function sceneOf(photo: Photo, name: TaskName, region: Region, factor: number, map?: string): Scene {
  const group = `${photo.key} ${name} ${map ?? ""}`;
  return {
    key: `${group} ${named(region)} ${factor}`,
    group,
    fetch: (at, background, abort) => {
      const repair = { task: name, level: at, ...(map ? { map } : {}) };
      return fetchRegion(photo, { region, repair, background }, region.reduce / factor, abort);
    },
  };
}

const THUMBNAIL = { width: 176, height: 132 };

/** Where the filmstrip's pictures come from: the view itself, or for scales the middle of the view. */
export const stackScene = computed<Scene | null>(() => {
  const photo = current.value;
  if (task.value?.task !== "upscale" || !photo?.info.value) return restoredScene.value;
  if (restingView.value.key !== photo.key) return null;
  const { x, y } = restingView.value.view;
  const group = `${photo.key} filmstrip`;
  return {
    key: `${group} ${Math.round(x)} ${Math.round(y)}`,
    group,
    fetch: (factor, background, abort) => {
      const region = regionAround(x, y, THUMBNAIL, photo.size, factor);
      const wanted = { region, repair: { task: "upscale" as const, level: factor }, background };
      return fetchRegion(photo, wanted, 1 / factor, abort);
    },
  };
});

/** Both looks at 100 % around a point of the photo, `side` pixels of the result wide. */
export async function lookAt(
  photo: Photo, { x, y }: { x: number; y: number }, side: number, abort: AbortSignal,
  show: (before: ImageBitmap, after: ImageBitmap) => void,
): Promise<void> {
  const now = choice.peek();
  const factor = scale.peek();
  if (!now || (now.map && photo.mapId.peek()?.map !== now.map)) return;
  const region = regionAround(x, y, { width: side, height: side }, photo.size, factor);
  const seen = Math.max(1, Math.round(side / factor));
  const before = regionAround(x, y, { width: seen, height: seen }, photo.size, 1);
  const repair = { task: now.task, level: level.peek(), ...(now.map ? { map: photo.mapId.peek()!.id } : {}) };
  try {
    const frames = await Promise.all([
      fetchRegion(photo, { region: before }, 1, abort),
      fetchRegion(photo, { region, repair }, 1 / factor, abort),
    ]);
    if (!abort.aborted) show(frames[0].bitmap, frames[1].bitmap);
    for (const { bitmap } of frames) bitmap.close();
  } catch (error) {
    if (sentenceOf(error) !== null) restored.error.value = sentenceOf(error);
  }
}

effect(() => {
  const [scene, stack, now] = [restoredScene.value, stackScene.value, choice.value];
  const settled = liveLevel.value === null;
  if (!scene || !stack || !now) return restored.aim(null);
  const target: Target = {
    scene, stack, settled, level: level.value, stops: stops.value, refine: now.task !== "upscale",
  };
  // While a scale is turned its region changes with it: nothing is fetched before it rests.
  restored.aim(now.task === "upscale" && !settled ? null : target);
});
effect(() => {
  const scene = originalScene.value;
  original.aim(scene && liveLevel.value === null ? { scene, stack: scene, level: 0, settled: true, stops: [], refine: false } : null);
});

/** What is seen of the result, and what may be said of it. */
export const shown = computed(() => {
  restored.version.value;
  original.version.value;
  const [photo, scene] = [current.value, restoredScene.value];
  if (!photo || !scene) return { blend: null, kind: "preview" as const };
  const mapped = choice.value?.map != null;
  const weakest = task.value?.task === "upscale" || mapped ? null : originalFrame();
  const blend = restored.blend(scene, level.value, stops.value, weakest);
  const exact = blend?.exact === true && liveLevel.value === null;
  const kind = !exact ? ("preview" as const) : blend.lower.region.reduce > 1 ? ("reduced" as const) : ("exact" as const);
  return { blend, kind };
});

/** The photo's own pixels of the view, if they are there. */
export function originalFrame(): Frame | null {
  original.version.value;
  const scene = originalScene.value;
  return scene ? original.frame(scene, 0) ?? null : null;
}

/** How much of the stack of the view is there. */
export const warmth = computed(() => {
  restored.version.value;
  const scene = stackScene.value;
  return { ready: scene ? restored.count(scene, stops.value) : 0, all: stops.value.length };
});

// --- What a person can do -----------------------------------------------------------------------------------

let keys = 0;
let stopListening = () => {};

/** Begin a session; also again after the server has let go of the last one. The photos are sent again. */
export async function connect(): Promise<void> {
  stopListening();
  try {
    const opened = await Server.open();
    batch(() => {
      server.value = opened;
      trouble.value = null;
    });
    stopListening = opened.listen(heard, () => void connect());
  } catch (error) {
    trouble.value = sentenceOf(error);
    setTimeout(() => void connect(), 3000);
    return;
  }
  for (const photo of photos.peek()) {
    batch(() => {
      photo.mapId.value = null;
      photo.job.value = null;
    });
    await send(photo);
  }
}

function heard(job: Job): void {
  for (const photo of photos.peek()) if (photo.job.peek()?.id === job.id) photo.job.value = job;
}

export async function addFiles(files: Iterable<File>): Promise<void> {
  const added = [...files].map((file) => new Photo(++keys, file));
  const first = added[0];
  if (!first) return;
  batch(() => {
    photos.value = [...photos.value, ...added];
    currentKey.value = first.key;
  });
  for (const photo of added) await send(photo);
}

async function send(photo: Photo): Promise<void> {
  const connection = server.peek();
  if (!connection) return; // `connect` sends it
  const again = photo.info.peek() !== null;
  photo.error.value = null;
  try {
    const info = await connection.upload(photo.file);
    batch(() => {
      photo.info.value = info;
      if (again) return;
      photo.history.value = begun(firstChoice(info));
      photo.view.value = { x: info.width / 2, y: info.height / 2, zoom: "fit" };
    });
    const reduce = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(info.width, info.height) / 1400)));
    const region = { left: 0, top: 0, ...shrunk(info, reduce), reduce };
    photo.whole.value = await fetchRegion(photo, { region }, reduce, new AbortController().signal);
  } catch (error) {
    photo.error.value = sentenceOf(error);
  }
}

/** What was found decides where the dial starts. */
function firstChoice(info: PhotoInfo): Choice {
  for (const name of ["denoise", "dejpeg"] as const) {
    const found = info.findings[name]?.level;
    if (found != null) return { task: name, level: startLevel(info, name), map: null };
  }
  return { task: "denoise", level: startLevel(info, "denoise"), map: null };
}

function startLevel(info: PhotoInfo, name: TaskName): number {
  const found = info.findings[name]?.level;
  const known = taskOf(name);
  if (!known) return found ?? 0;
  if (found == null) return name === "upscale" ? 2 : (known.usual[0] ?? known.weakest);
  const [least, most] = known.trained;
  return Math.min(Math.max(found, least), most);
}

export async function removePhoto(photo: Photo): Promise<void> {
  const rest = photos.value.filter((one) => one !== photo);
  const index = photos.value.indexOf(photo);
  batch(() => {
    photos.value = rest;
    if (currentKey.value === photo.key) currentKey.value = (rest[index] ?? rest.at(-1))?.key ?? 0;
  });
  const id = photo.info.peek()?.id;
  if (id) await server.peek()?.remove(id).catch(() => undefined); // it is dropped with the page at the latest
}

function choose(part: Partial<Choice>): void {
  const photo = current.peek();
  if (!photo?.info.peek()) return;
  batch(() => {
    liveLevel.value = null;
    photo.history.value = chosen(photo.history.value, { ...photo.history.value.now, ...part });
  });
}

export function chooseLevel(wanted: number): void {
  choose({ level: wanted });
}

export function chooseTask(name: TaskName, wanted?: number): void {
  const photo = current.peek();
  const info = photo?.info.peek();
  if (!photo || !info) return;
  const before = photo.history.peek();
  const maps = taskOf(name)?.maps === true;
  const map = maps ? before.now.map : null;
  choose({ task: name, level: wanted ?? lastLevel(before, name) ?? startLevel(info, name), map });
  if (!maps) brush.value = false;
}

export function undo(): void {
  walk(undone);
}

export function redo(): void {
  walk(redone);
}

function walk(step: (history: History) => History): void {
  const photo = current.peek();
  if (!photo) return;
  batch(() => {
    liveLevel.value = null;
    photo.history.value = step(photo.history.value);
  });
}

/** Change the view of the current photo, kept within the photo. */
export function look(change: (view: View, pane: Pane, photo: Size, factor: number) => View): void {
  const photo = current.peek();
  const pane = panes.peek()[0];
  if (!photo?.info.peek() || !pane) return;
  const factor = scale.peek();
  photo.view.value = clamped(change(photo.view.peek(), pane, photo.size, factor), pane, photo.size, factor);
}

export function zoomTo(zoom: number | "fit"): void {
  look((view) => ({ ...view, zoom }));
}

// --- The brush ------------------------------------------------------------------------------------------------

/** The map that is painted on now; made at the first stroke. Paint starts on black, the eraser on white. */
export function draftOf(photo: Photo): BrushMap {
  const before = photo.draft.peek()?.map ?? photo.history.peek().now.map;
  if (photo.draft.peek() && before) return before;
  const map = before ? { ...before, grey: before.grey.slice() } : filled(photo.size, tool.peek() === "paint" ? 0 : 255);
  photo.draft.value = { map };
  return map;
}

/** A stroke ended: the map becomes a choice, which can be undone. */
export function endStroke(photo: Photo): void {
  const draft = photo.draft.peek();
  if (!draft) return;
  batch(() => {
    choose({ map: draft.map });
    photo.draft.value = null;
  });
}

export function fillMap(value: 0 | 255): void {
  const photo = current.peek();
  if (photo) choose({ map: filled(photo.size, value) });
}

export function removeMap(): void {
  choose({ map: null });
}

effect(() => {
  const photo = current.value;
  const map = choice.value?.map;
  if (!photo) return;
  photo.mapError.value = null;
  const id = photo.info.value?.id;
  if (map && id && photo.mapId.value?.map !== map) void sendMap(photo, id, map);
});

async function sendMap(photo: Photo, id: string, map: BrushMap): Promise<void> {
  try {
    const given = await server.peek()?.putMap(id, await encoded(map));
    if (given && photo.history.peek().now.map === map) photo.mapId.value = { map, id: given };
  } catch (error) {
    photo.mapError.value = sentenceOf(error);
  }
}

// --- The result -----------------------------------------------------------------------------------------------

export async function startJob(photo: Photo, format: string, quality: number | null): Promise<void> {
  const id = photo.info.peek()?.id;
  const { now } = photo.history.peek();
  const connection = server.peek();
  if (!id || !connection) return;
  const map = now.map && photo.mapId.peek()?.map === now.map ? photo.mapId.peek()!.id : undefined;
  const wanted: JobWanted = { task: now.task, level: now.level };
  if (map) wanted.map = map;
  if (format) wanted.format = format;
  if (quality !== null) wanted.quality = quality;
  photo.jobError.value = null;
  try {
    const job = await connection.startJob(id, wanted);
    batch(() => {
      photo.job.value = job;
      photo.jobChoice.value = now;
    });
  } catch (error) {
    photo.jobError.value = sentenceOf(error);
  }
}

export async function cancelJob(photo: Photo): Promise<void> {
  const job = photo.job.peek();
  if (!job) return;
  try {
    await server.peek()?.cancel(job.id);
    photo.job.value = { ...job, state: "cancelled" };
  } catch (error) {
    photo.jobError.value = sentenceOf(error);
  }
}

/** What is on the screen, for a screen reader. */
export const said = computed(() => {
  const [photo, now] = [current.value, choice.value];
  if (!photo) return "No photo";
  if (photo.error.value) return photo.error.value;
  if (!now) return `Reading ${photo.file.name}`;
  const [wanted, failed] = [phrase(now.task, level.value), restored.error.value];
  if (failed) return failed;
  if (restored.busy.value) return `${wanted}, working`;
  const { kind, blend } = shown.value;
  return `${wanted}, ${kind === "reduced" ? `reduced preview, 1:${blend!.lower.region.reduce}` : kind}`;
});

export const resultSize = computed<Size>(() => enlarged(current.value?.size ?? { width: 1, height: 1 }, scale.value));

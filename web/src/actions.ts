/** What a person can do. */

import { batch, computed, effect, untracked } from "@preact/signals";
import { encoded, filled, type BrushMap } from "./brushmap";
import { begun, chosen, lastChoice, lastMap, redone, undone, type Choice, type History, type WantedSize } from "./history";
import { damageOf, FIELDS, KINDS, type Axis, type Damage, type Field, type Further, type TaskName } from "./levels";
import { foundLevel, Photo } from "./photo";
import { fetchRegion, furtherOf, repairOf } from "./scenes";
import { sentenceOf, Server, ServerError, type Job, type JobRequest, type PhotoInfo } from "./server";
import {
  brush, choice, current, currentKey, levelFor, liveFurther, liveLevel, panes, photos, scale, server, task, taskOf, tool,
  trouble,
} from "./state";
import { clamped, shrunk, type Pane, type Size, type View } from "./view";

const STAY = 20_000; // ms between two signs of life

let keys = 0;

/** Begin a session; also again after the server has let go of the last one. The photos are sent again. */
export async function connect(): Promise<void> {
  try {
    const opened = await Server.open();
    batch(() => {
      server.value = opened;
      trouble.value = null;
    });
  } catch (error) {
    trouble.value = sentenceOf(error);
    setTimeout(() => void connect(), 3000);
    return;
  }
  for (const photo of photos.peek()) {
    batch(() => {
      photo.mapId.value = null;
      photo.job.value = null;
      photo.jobError.value = null;
    });
    await send(photo);
  }
}

/** Tell the server that the page is still there; begin again where it has let go of it. */
export async function stay(): Promise<void> {
  const connection = server.peek();
  try {
    await connection?.stay();
  } catch (error) {
    if (server.peek() === connection && error instanceof ServerError) void connect();
  }
}
setInterval(() => void stay(), STAY);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void stay();
});
addEventListener("pagehide", () => server.peek()?.leave());
addEventListener("pageshow", (event) => {
  if (event.persisted) void connect();
});

const working = computed(() => photos.value.some((photo) => ["queued", "running"].includes(photo.job.value?.state ?? "")));

effect(() => {
  const connection = server.value;
  if (!connection || !working.value) return undefined;
  return untracked(() => {
    const stop = connection.listen(heard, () => void connect());
    return () => {
      stop();
      lastHeard.clear();
    };
  });
});

addEventListener("beforeunload", (event) => {
  const unfinished = photos.peek().some((photo) => {
    const state = photo.job.peek()?.state;
    return state === "queued" || state === "running" || (state === "done" && !photo.kept) || photo.history.peek().now.map;
  });
  if (unfinished) event.preventDefault();
});

/** Jobs as they were last heard of: one that is quick is heard of before the answer that names it. */
const lastHeard = new Map<string, Job>();

function heard(job: Job): void {
  lastHeard.set(job.id, job);
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
    if (!photos.peek().includes(photo)) { // it was removed meanwhile
      await connection.remove(info.id);
      return;
    }
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

function firstChoice(info: PhotoInfo): Choice {
  const task: TaskName = "photo";
  return { task, level: startLevel(info, task), size: null, further: startFurther(info, task), map: null, grain: 0 };
}

/** The level that was found; null, which leaves the photo as it is, where there is nothing that the task repairs. */
function startLevel(info: PhotoInfo, name: TaskName): number | null {
  const known = taskOf(name);
  if (!known) return null;
  if (name === "upscale") return 2;
  const more = Object.keys(startFurther(info, name)).length > 0;
  return foundLevel(info, known) ?? (more ? known.weakest : null);
}

/** The further levels that were found. */
function startFurther(info: PhotoInfo, name: TaskName): Further {
  const found = taskOf(name)?.axes.map((axis) => [axis.field, foundLevel(info, axis)] as const) ?? [];
  return Object.fromEntries(found.filter(([, level]) => level !== null));
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

function choose(part: Partial<Choice>, turned: Field | null = null): void {
  const photo = current.peek();
  if (!photo?.info.peek()) return;
  batch(() => {
    stopTurning();
    photo.turned.value = turned;
    photo.history.value = chosen(photo.history.value, { ...photo.history.value.now, ...part });
  });
}

function stopTurning(): void {
  liveLevel.value = null;
  for (const field of FIELDS) liveFurther[field].value = null;
}

export function chooseLevel(wanted: number): void {
  choose({ level: wanted, size: null });
}

/** Move a further level; null lets it go back to where it stands by itself. */
export function chooseFurther({ field, origin }: Axis, wanted: number | null): void {
  const now = choice.peek();
  if (!now) return;
  const { [field]: _, ...others } = now.further;
  const usual = wanted === null || (wanted === origin && !KINDS[field].follows);
  const level = wanted === null ? now.level : now.level ?? task.peek()?.weakest ?? 0;
  choose({ further: usual ? others : { ...others, [field]: wanted }, level }, field);
}

/** Set what repairs a kind of damage to what was found; another task where this one has nothing for it. */
export function chooseFound(damage: Damage): void {
  const info = current.peek()?.info.peek();
  const known = task.peek();
  if (!info || !known) return;
  const own = [known, ...known.axes].find((one) => damageOf(one) === damage) ?? taskOf(damage);
  const level = own && foundLevel(info, own);
  if (!own || level === null || level === undefined) return;
  if ("field" in own) chooseFurther(own, level);
  else if (own === known) chooseLevel(level);
  else chooseTask(damage, level);
}

/** Choose how large the result is to be, and with that the scale. */
export function chooseSize(size: WantedSize, scale: number): void {
  choose({ level: scale, size });
}

export function leaveAsItIs(): void {
  choose({ level: null, further: {}, map: null });
}

export function chooseGrain(share: number): void {
  choose({ grain: share });
}

export function chooseTask(name: TaskName, wanted?: number): void {
  const photo = current.peek();
  const info = photo?.info.peek();
  if (!photo || !info) return;
  const before = photo.history.peek();
  const maps = taskOf(name)?.maps === true;
  const map = maps ? lastMap(before, (one) => taskOf(one)?.maps === true) : null;
  const last = wanted === undefined ? lastChoice(before, name) : undefined;
  const level = wanted ?? (last ? last.level : startLevel(info, name));
  choose({
    task: name, level: map && level === null ? levelFor({ ...before.now, task: name, level }) : level,
    size: last?.size ?? null, further: last?.further ?? startFurther(info, name), map,
  });
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
    stopTurning();
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
    choose({ map: draft.map, level: levelFor(photo.history.peek().now) });
    photo.draft.value = null;
  });
}

export function fillMap(value: 0 | 255): void {
  const photo = current.peek();
  if (photo) choose({ map: filled(photo.size, value), level: levelFor(photo.history.peek().now) });
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
  // A map is sent while its photo is looked at; a new session has none yet.
  if (now.map && photo.mapId.peek()?.map !== now.map) await sendMap(photo, id, now.map);
  if (now.map && photo.mapId.peek()?.map !== now.map) {
    photo.jobError.value = photo.mapError.peek() ?? "What you painted has not reached the server yet. Try again.";
    return;
  }
  const request: JobRequest = { ...repairOf(photo, now) };
  if (now.level !== null) Object.assign(request, furtherOf(now)); // else the server looks what it finds
  if (now.size) request[now.size.side] = now.size.pixels;
  else if (now.level !== null) request.level = now.level;
  if (format) request.format = format;
  if (quality !== null) request.quality = quality;
  photo.jobError.value = null;
  try {
    const job = await connection.startJob(id, request);
    batch(() => {
      photo.job.value = lastHeard.get(job.id) ?? job;
      photo.kept = false;
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

/** What is looked at now: which pixels are fetched, kept and shown for it. */

import { computed, effect, signal } from "@preact/signals";
import { Frames, type Frame, type Scene, type Target } from "./frames";
import { AS_IT_IS, type Choice } from "./history";
import { KINDS, valueOf, type Further } from "./levels";
import type { Photo } from "./photo";
import { sentenceOf, ServerError, type RegionRequest, type Repair } from "./server";
import {
  along, choice, current, dial, further, level, liveLevel, panes, phraseNow, scale, server, stops, task, taskOf, turning, untouched,
} from "./state";
import { middleOf, regionAround, regionOf, type Region, type View } from "./view";

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
export async function fetchRegion(photo: Photo, wanted: RegionRequest, unit: number, abort: AbortSignal): Promise<Frame> {
  const { region } = wanted;
  const connection = server.peek();
  const id = photo.info.peek()?.id;
  if (!connection || !id) throw new ServerError("The photo has not been read yet.", 0);
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
  const repair = repairOf(photo, now);
  const group = `${photo.key} ${JSON.stringify(repair)}`;
  const turned = along.value ?? "level";
  const settled = now.task === "upscale" ? factor : now.level ?? taskOf(now.task)!.weakest;
  const levelsAt = (at: number) => ({ level: settled, ...furtherOf(now), [turned]: at });
  const { [turned]: _, ...fixed } = levelsAt(0);
  return {
    key: `${group} ${named(region)} ${factor} ${turned} ${JSON.stringify(fixed)}`,
    group,
    dial: turned,
    named: (at) => {
      const { level: main, ...moved } = levelsAt(at);
      const all = taskOf(now.task)!.axes.map((axis) => valueOf(axis, main, moved));
      return `${group} ${named(region)} ${[main, ...all].join(" ")}`;
    },
    fetch: (at, background, abort) => {
      const wanted = { region, repair: { ...repair, ...levelsAt(at) }, background };
      return fetchRegion(photo, wanted, region.reduce / factor, abort);
    },
  };
});

/** What the server is asked for besides levels. */
export function repairOf(photo: Photo, { task: name, map, grain }: Choice): Repair {
  return {
    task: name,
    ...(map ? { map: photo.mapId.peek()!.id } : {}),
    ...(taskOf(name)?.grain && grain ? { grain } : {}),
  };
}

/** The further levels that the server is asked for; those that follow the level only where they were moved. */
export function furtherOf({ task: name, further: moved }: Choice): Further {
  const axes = taskOf(name)?.axes.filter(({ field }) => moved[field] !== undefined || !KINDS[field].follows) ?? [];
  return Object.fromEntries(axes.map((axis) => [axis.field, valueOf(axis, 0, moved)]));
}

export const THUMBNAIL = { width: 128, height: 96 };

/** Where the filmstrip's pictures come from: the middle of the view, small so that all are soon there. */
export const stripScene = computed<Scene | null>(() => {
  const [photo, pane, now] = [current.value, panes.value[0], choice.value];
  if (!restoredScene.value || !photo || !pane || !now) return null;
  const { view } = restingView.value;
  const repair = { ...repairOf(photo, now), ...furtherOf(now) };
  const group = `${photo.key} filmstrip ${JSON.stringify(repair)}`;
  const fetchSmall = (at: number, region: Region, unit: number, background: boolean, abort: AbortSignal) =>
    fetchRegion(photo, { region, repair: { ...repair, level: at }, background, quick: true }, unit, abort);
  if (now.task === "upscale") { // at 100 % at every scale
    return {
      key: `${group} ${Math.round(view.x)} ${Math.round(view.y)}`,
      group,
      fetch: (factor, background, abort) =>
        fetchSmall(factor, regionAround(view.x, view.y, THUMBNAIL, photo.size, factor), 1 / factor, background, abort),
    };
  }
  const region = middleOf(regionOf(view, pane, photo.size, 1), THUMBNAIL);
  return {
    key: `${group} ${named(region)}`,
    group,
    fetch: (at, background, abort) => fetchSmall(at, region, region.reduce, background, abort),
  };
});

/** Whether views are blended while a slider moves; those of two scales are not. */
const blended = computed(() => task.value?.task !== "upscale" || along.value !== null);

/** What is fetched of each view in the background: to be blended, or else the filmstrip's pictures. */
const stack = computed(() => {
  const strip = { scene: stripScene.value, stops: stops.value, near: level.value };
  const views = { scene: restoredScene.value, stops: dial.value.stops, near: dial.value.at };
  return { views: blended.value ? views : strip, strip };
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
  const repair = { ...repairOf(photo, now), level: level.peek(), ...further.peek() };
  const after = untouched.peek() ? { region } : { region, repair };
  try {
    const frames = await Promise.all([
      fetchRegion(photo, { region: before }, 1, abort),
      fetchRegion(photo, after, 1 / factor, abort),
    ]);
    if (!abort.aborted) show(frames[0].bitmap, frames[1].bitmap);
    for (const { bitmap } of frames) bitmap.close();
  } catch (error) {
    if (sentenceOf(error) !== null) restored.error.value = sentenceOf(error);
  }
}

effect(() => {
  const [scene, { views, strip }, now] = [restoredScene.value, stack.value, choice.value];
  if (!scene || !views.scene || !strip.scene || !now) return restored.aim(null);
  const target: Target = {
    scene, stack: { ...views, scene: views.scene }, strip: { ...strip, scene: strip.scene }, settled: !turning.value,
    level: untouched.value ? null : dial.value.at, rest: dial.value.rest, refine: blended.value,
  };
  // While a scale is turned its region changes with it: nothing is fetched before it rests.
  restored.aim(now.task === "upscale" && liveLevel.value !== null ? null : target);
});
effect(() => {
  const scene = originalScene.value;
  if (!scene || liveLevel.value !== null) return original.aim(null);
  const nothing = { scene, stops: [], near: 0 };
  original.aim({ scene, stack: nothing, strip: nothing, level: 0, rest: 0, settled: true, refine: false });
});

/** What is seen of the result, and what may be said of it. */
export const shown = computed(() => {
  restored.version.value;
  original.version.value;
  const [photo, scene] = [current.value, restoredScene.value];
  if (!photo || !scene) return { blend: null, kind: "preview" as const };
  if (untouched.value) {
    const lower = originalFrame();
    return { blend: lower && { lower, upper: null, share: 0, exact: true }, kind: lower ? ("untouched" as const) : ("preview" as const) };
  }
  const blend = restored.blend(scene, dial.value.at, dial.value.stops, beginsWithPhoto() ? originalFrame() : null);
  const exact = blend?.exact === true && !turning.value;
  const kind = !exact ? ("preview" as const) : blend.lower.region.reduce > 1 ? ("reduced" as const) : ("exact" as const);
  return { blend, kind };
});

/** Whether the photo itself is what is seen at the weakest end of the slider that views differ in. */
function beginsWithPhoto(): boolean {
  const [known, now] = [task.value, choice.value];
  if (!known || !now || known.task === "upscale" || now.map || now.grain) return false;
  const main = along.value === null ? known.weakest : now.level ?? known.weakest;
  const others = known.axes.filter(({ field }) => field !== along.value);
  return main === known.weakest && others.every((axis) => valueOf(axis, main, now.further) === axis.origin);
}

/** The photo's own pixels of the view, if they are there. */
export function originalFrame(): Frame | null {
  original.version.value;
  const scene = originalScene.value;
  return scene ? original.frame(scene, 0) ?? null : null;
}

/** How much of the view's stack, and how many small pictures of the filmstrip, are there: "3/9". */
export const warmth = computed(() => {
  restored.version.value;
  const told = ({ scene, stops: all }: { scene: Scene | null; stops: number[] }) => `${scene ? restored.count(scene, all) : 0}/${all.length}`;
  return { views: told(stack.value.views), small: told(stack.value.strip) };
});

/** What is seen of the result while its view is on its way. */
export function standIn(): Frame | null {
  restored.version.value;
  const scene = restoredScene.value;
  return scene ? restored.standIn(scene, dial.value.at) : null;
}

/** What is on the screen, for a screen reader. */
export const said = computed(() => {
  const [photo, now] = [current.value, choice.value];
  if (!photo) return "No photo";
  if (photo.error.value) return photo.error.value;
  if (!now) return `Reading ${photo.file.name}`;
  const [wanted, failed] = [phraseNow.value, restored.error.value];
  if (failed) return failed;
  if (untouched.value) return `nothing found, ${AS_IT_IS}`;
  if (restored.busy.value) return `${wanted}, working`;
  const { kind, blend } = shown.value;
  return `${wanted}, ${kind === "reduced" ? `reduced preview, 1:${blend!.lower.region.reduce}` : kind}`;
});

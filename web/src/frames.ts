/** Views by level: fetched one after the other, kept, and blended while the dial moves. */

import { signal } from "@preact/signals";
import { positionOf } from "./levels";
import { sentenceOf, ServerError } from "./server";
import type { Region } from "./view";

/** Pixels of a view. `unit` is the side of one of them in pixels of the photo. */
export interface Frame {
  bitmap: ImageBitmap;
  region: Region;
  unit: number;
}

/** What is looked at: one part of a photo, at any level. Two scenes with the same key show the same. */
export interface Scene {
  key: string;
  /** Scenes of the same group may stand in for each other while pixels are on their way. */
  group: string;
  /** Which slider its levels are of. */
  dial?: string;
  /** What is seen at a level: scenes with different dials show the same where this is the same. */
  named?(level: number): string;
  fetch(level: number, background: boolean, signal: AbortSignal): Promise<Frame>;
}

/** Levels of a scene, weakest first, that are fetched in the background; those next to `near` first. */
export interface Series {
  scene: Scene;
  stops: number[];
  near: number;
}

export interface Target {
  scene: Scene;
  /** Null where nothing but the photo is to be seen. */
  level: number | null;
  /** Where the slider stood before it was turned. */
  rest: number;
  /** False while a slider moves: then only the levels of the stack are fetched. */
  settled: boolean;
  /** The views that are blended while a slider moves: of the scene itself, or of another one. */
  stack: Series;
  /** The small pictures of the filmstrip. */
  strip: Series;
  /** Fetch levels between stops that differ much. */
  refine: boolean;
}

/** Two frames and how much of the second is seen; `exact` if the first is the level that was asked for. */
export interface Blend {
  lower: Frame;
  upper: Frame | null;
  share: number;
  exact: boolean;
}

interface Stack {
  scene: Scene;
  frames: Map<number, Frame>;
  failed: Set<number>;
  /** How much neighbours differ, by their levels: each pair is looked at once. */
  apart: Map<string, number>;
  /** The level that was last to be seen. */
  at: number | null;
}

const STACKS = 8; // kept, two of each view: going back to one, or undoing a choice, costs nothing
const MOST_FRAMES = 24;
const REFINED = 5; // levels between stops at most
const VISIBLY_APART = 4; // root mean square difference of neighbours, 8 bit; their blend is then under 40 dB at times
const BUSY = [429, 503];

export class Frames {
  /** Counts what arrived or failed, for those who watch. */
  readonly version = signal(0);
  readonly error = signal<string | null>(null);
  readonly busy = signal(false);
  /** Nothing is left to fetch. */
  readonly idle = signal(false);
  private stacks = new Map<string, Stack>();
  private target: Target | null = null;
  private running: { key: string; level: number; abort: AbortController; background: boolean } | null = null;
  private later: ReturnType<typeof setTimeout> | undefined;

  /** Say what is to be seen. */
  aim(target: Target | null): void {
    const before = this.target;
    this.target = target;
    if (!target) {
      this.running?.abort.abort();
      this.running = null;
      this.busy.value = false;
      return;
    }
    const main = this.stackOf(target.scene);
    if (!main.frames.size) this.adopt(main, target.rest);
    main.at = target.level;
    const others = [this.stackOf(target.stack.scene), this.stackOf(target.strip.scene)];
    if (before?.scene.key !== target.scene.key || before.level !== target.level) {
      this.error.value = null;
      if (target.level !== null) main.failed.delete(target.level);
      for (const { failed } of others) failed.clear();
    }
    this.forget();
    this.pump();
  }

  /** What is best seen for a level now; `standIn` counts as the weakest level until that is there. */
  blend(scene: Scene, level: number, stops: number[], standIn: Frame | null): Blend | null {
    const frames = this.stacks.get(scene.key)?.frames ?? new Map<number, Frame>();
    const own = frames.get(level);
    if (own) return { lower: own, upper: null, share: 0, exact: true };
    const known = [...frames].map(([at, frame]) => ({ at: positionOf(stops, at), frame }));
    if (standIn && !frames.has(stops[0]!) && frames.size) known.push({ at: 0, frame: standIn });
    known.sort((a, b) => a.at - b.at);
    const wanted = positionOf(stops, level);
    const lower = known.findLast(({ at }) => at <= wanted);
    const upper = known.find(({ at }) => at >= wanted);
    if (lower && upper) {
      const share = upper.at > lower.at ? (wanted - lower.at) / (upper.at - lower.at) : 0;
      return { lower: lower.frame, upper: upper.frame, share, exact: false };
    }
    const only = lower ?? upper;
    return only ? { lower: only.frame, upper: null, share: 0, exact: false } : null;
  }

  /** The frame of a level, if it is there. */
  frame(scene: Scene, level: number): Frame | undefined {
    return this.stacks.get(scene.key)?.frames.get(level);
  }

  /** A frame of the group's newest scene, at the level if it is there: what is seen while the new view is on its way. */
  standIn(scene: Scene, level: number): Frame | null {
    const others = [...this.stacks.values()].filter((stack) => stack.scene.group === scene.group && stack.frames.size);
    const newest = others.at(-1);
    if (!newest) return null;
    const wanted = newest.scene.dial === scene.dial ? level : newest.at;
    return (wanted === null ? undefined : newest.frames.get(wanted)) ?? [...newest.frames.values()].at(-1) ?? null;
  }

  /** How many of some levels are there. */
  count(scene: Scene, levels: number[]): number {
    const frames = this.stacks.get(scene.key)?.frames;
    return frames ? levels.filter((level) => frames.has(level)).length : 0;
  }

  private stackOf(scene: Scene): Stack {
    const stack = this.stacks.get(scene.key) ?? { scene, frames: new Map(), failed: new Set(), apart: new Map(), at: null };
    this.stacks.delete(scene.key); // the newest is the last
    this.stacks.set(scene.key, { ...stack, scene });
    return this.stacks.get(scene.key)!;
  }

  /** Begin with what another slider's scene shows already. */
  private adopt(stack: Stack, level: number): void {
    const wanted = stack.scene.named?.(level);
    if (wanted === undefined) return;
    for (const { scene, frames } of this.stacks.values()) {
      const same = [...frames].find(([at]) => scene.named?.(at) === wanted);
      if (same) return void stack.frames.set(level, copied(same[1]));
    }
  }

  private forget(): void {
    for (const [key, stack] of [...this.stacks].slice(0, -STACKS)) {
      for (const { bitmap } of stack.frames.values()) bitmap.close();
      this.stacks.delete(key);
    }
  }

  /** Start the next fetch: first the level that was asked for, then what is in the background. */
  private pump(): void {
    clearTimeout(this.later);
    const { target } = this;
    if (!target) return;
    const main = this.stackOf(target.scene);
    const { level, settled } = target;
    const waiting = settled && level !== null && !main.frames.has(level) && !main.failed.has(level);
    this.busy.value = waiting;
    if (waiting) this.idle.value = false;
    const { running } = this;
    if (running) {
      const wanted = waiting && running.key === target.scene.key && running.level === level;
      const useful = !waiting && running.background && [target.stack.scene.key, target.strip.scene.key].includes(running.key);
      if (wanted || useful) return;
      running.abort.abort();
      this.running = null;
    }
    if (waiting) void this.fetch(main, level, false);
    else {
      const next = this.next(target);
      this.idle.value = next === null;
      if (next) void this.fetch(next.stack, next.level, true);
    }
  }

  /** What is fetched in the background. Small pictures first, but for a dial that moves: it needs something to blend. */
  private next(target: Target): { stack: Stack; level: number } | null {
    const [strip, views] = [this.stackOf(target.strip.scene), this.stackOf(target.stack.scene)];
    const small = () => ({ stack: strip, level: nearestAbsent(strip, target.strip) });
    const large = () => ({ stack: views, level: this.missing(views, target) });
    for (const look of target.settled ? [small, large] : [large, small]) {
      const { stack, level } = look();
      if (level !== undefined) return { stack, level };
    }
    return null;
  }

  private missing(stack: Stack, target: Target): number | undefined {
    const { stack: { stops }, refine, settled } = target;
    // The strongest first: with it and the photo, which stands in for the weakest, there is something to blend everywhere.
    const strongest = stops.at(-1);
    if (refine && stack.frames.size < 2 && strongest !== undefined && absent(stack, strongest)) return strongest;
    const nearest = nearestAbsent(stack, target.stack);
    if (nearest !== undefined || !refine || !settled || stack.failed.size) return nearest;
    return this.between(stack, stops);
  }

  /** A level half-way between the two neighbours that differ most, if that is seen. */
  private between(stack: Stack, stops: number[]): number | undefined {
    if (stack.frames.size >= stops.length + REFINED) return undefined;
    const rising = stops.at(-1)! > stops[0]! ? 1 : -1;
    const levels = [...stack.frames.keys()].sort((a, b) => rising * (a - b));
    let most = VISIBLY_APART;
    let wanted: number | undefined;
    for (let index = 1; index < levels.length; index++) {
      const [weaker, stronger] = [levels[index - 1]!, levels[index]!];
      const middle = Math.round((weaker + stronger) * 5) / 10;
      if (middle === weaker || middle === stronger || stack.failed.has(middle)) continue;
      const pair = `${weaker} ${stronger}`;
      const apart = stack.apart.get(pair) ?? difference(stack.frames.get(weaker)!.bitmap, stack.frames.get(stronger)!.bitmap);
      stack.apart.set(pair, apart);
      if (apart > most) [most, wanted] = [apart, middle];
    }
    return wanted;
  }

  private async fetch(stack: Stack, level: number, background: boolean): Promise<void> {
    const abort = new AbortController();
    const running = { key: stack.scene.key, level, abort, background };
    this.running = running;
    let wait = 0;
    try {
      const frame = await stack.scene.fetch(level, background, abort.signal);
      if (this.stacks.get(stack.scene.key)?.frames !== stack.frames) frame.bitmap.close();
      else this.keep(stack, level, frame);
    } catch (error) {
      const said = sentenceOf(error);
      if (said !== null) {
        if (error instanceof ServerError && BUSY.includes(error.status)) wait = 1000;
        else stack.failed.add(level);
        if (!background && !wait) this.error.value = said;
      }
    }
    if (this.running !== running) return; // aborted: another fetch has taken its place
    this.running = null;
    this.version.value += 1;
    if (wait) this.later = setTimeout(() => this.pump(), wait);
    else this.pump();
  }

  private keep(stack: Stack, level: number, frame: Frame): void {
    stack.frames.set(level, frame);
    const series = [this.target?.stack, this.target?.strip].find((one) => one?.scene.key === stack.scene.key);
    const spare = [...stack.frames.keys()].find((at) => at !== level && !series?.stops.includes(at));
    if (stack.frames.size > MOST_FRAMES && spare !== undefined) {
      stack.frames.get(spare)?.bitmap.close();
      stack.frames.delete(spare);
    }
  }
}

function copied({ bitmap, ...place }: Frame): Frame {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
  return { ...place, bitmap: canvas.transferToImageBitmap() };
}

function absent(stack: Stack, level: number): boolean {
  return !stack.frames.has(level) && !stack.failed.has(level);
}

/** Of the stops that are not there, the one next to where the slider stands. */
function nearestAbsent(stack: Stack, { near, stops }: Series): number | undefined {
  const here = positionOf(stops, near);
  const away = (stop: number) => Math.abs(positionOf(stops, stop) - here);
  return stops.filter((stop) => absent(stack, stop)).sort((a, b) => away(a) - away(b))[0];
}

const PROBE = 192;

/** Root mean square difference of two pictures in their middle, 8 bit. */
function difference(one: ImageBitmap, other: ImageBitmap): number {
  const [first, second] = [one, other].map((bitmap) => {
    const context = new OffscreenCanvas(PROBE, PROBE).getContext("2d", { willReadFrequently: true })!;
    context.drawImage(bitmap, Math.round((PROBE - bitmap.width) / 2), Math.round((PROBE - bitmap.height) / 2));
    return context.getImageData(0, 0, PROBE, PROBE).data;
  }) as [Uint8ClampedArray, Uint8ClampedArray];
  let sum = 0;
  for (let index = 0; index < first.length; index++) sum += (first[index]! - second[index]!) ** 2;
  return Math.sqrt(sum / (first.length * 0.75)); // a quarter is alpha
}

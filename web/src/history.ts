/** What was chosen for a photo, step by step; a value that never changes. */

import { andFurther, FIELDS, phrase, type Further, type TaskName } from "./levels";
import type { BrushMap } from "./brushmap";

/** How large a result is to be, by one of its sides. */
export interface WantedSize {
  side: Side;
  pixels: number;
}

export type Side = "to_width" | "to_height" | "long_side";

export interface Choice {
  task: TaskName;
  /** Null leaves the photo as it is: nothing was found that the task repairs. */
  level: number | null;
  /** Of upscaling: the size that was asked for instead of a scale; `level` is the scale that gives it. */
  size: WantedSize | null;
  /** The further levels that were moved, or found. */
  further: Further;
  map: BrushMap | null;
  /** Share of the noise that is put back after denoising. */
  grain: number;
}

export interface History {
  past: Choice[];
  now: Choice;
  future: Choice[];
}

const LONGEST = 100;

export function begun(now: Choice): History {
  return { past: [], now, future: [] };
}

/** A choice after the last one; what was undone before is forgotten. */
export function chosen(history: History, next: Choice): History {
  const { now } = history;
  const same = (["task", "level", "map", "grain"] as const).every((part) => next[part] === now[part]);
  const sameFurther = FIELDS.every((field) => next.further[field] === now.further[field]);
  if (same && sameFurther && next.size?.side === now.size?.side && next.size?.pixels === now.size?.pixels) return history;
  return { past: [...history.past, history.now].slice(-LONGEST), now: next, future: [] };
}

export function undone(history: History): History {
  const now = history.past.at(-1);
  if (!now) return history;
  return { past: history.past.slice(0, -1), now, future: [history.now, ...history.future] };
}

export function redone(history: History): History {
  const [now, ...future] = history.future;
  if (!now) return history;
  return { past: [...history.past, history.now], now, future };
}

/** The map of the last choice whose task takes one: what it does not take is not lost. */
export function lastMap(history: History, takes: (task: TaskName) => boolean): BrushMap | null {
  return [...history.past, history.now].findLast((choice) => takes(choice.task))?.map ?? null;
}

/** What was last chosen for a task, if anything. */
export function lastChoice(history: History, task: TaskName): Choice | undefined {
  return [...history.past, history.now].findLast((choice) => choice.task === task);
}

export const AS_IT_IS = "left as it is";

const ALONG: Record<Side, string> = { to_width: "pixels wide", to_height: "pixels high", long_side: "pixels on the long side" };

/** "sigma 18", "800 pixels wide", "scale 2×, softness 1.5", "left as it is". */
export function inWords({ task, level, size, further }: Choice): string {
  if (level === null) return AS_IT_IS;
  return (size ? `${size.pixels} ${ALONG[size.side]}` : phrase(task, level)) + andFurther(further);
}

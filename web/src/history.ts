/** What was chosen for a photo, step by step; a value that never changes. */

import type { TaskName } from "./levels";
import type { BrushMap } from "./brushmap";

export interface Choice {
  task: TaskName;
  level: number;
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
  if (next.task === now.task && next.level === now.level && next.map === now.map && next.grain === now.grain) return history;
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

/** The level that was last chosen for a task, if any. */
export function lastLevel(history: History, task: TaskName): number | undefined {
  return [...history.past, history.now].findLast((choice) => choice.task === task)?.level;
}

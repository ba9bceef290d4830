/** What the dial's positions mean: level in its own unit <-> place between the stops, weakest first. */

export type TaskName = "denoise" | "dejpeg" | "upscale";

/** One task as the server describes it; levels are in `unit`, and `trained` is a range that the model knows. */
export interface Task {
  task: TaskName;
  unit: string;
  low: number;
  high: number;
  trained: [number, number];
  weakest: number;
  strongest: number;
  usual: number[];
  /** Whether it takes a map of levels. */
  maps: boolean;
}

/** Levels of the filmstrip between the ends. Denser where pictures change faster: a blend of neighbours stays close. */
const STOPS: Record<TaskName, number[]> = {
  denoise: [5, 10, 15, 20, 30, 40, 55],
  dejpeg: [85, 70, 55, 40, 30, 20, 10],
  upscale: [1.5, 2, 2.5, 3, 3.5],
};

/** The smallest change of a level that the dial makes. */
const STEPS: Record<TaskName, number> = { denoise: 0.5, dejpeg: 1, upscale: 0.05 };

export const TITLES: Record<TaskName, string> = {
  denoise: "Denoise",
  dejpeg: "JPEG repair",
  upscale: "Upscale",
};

const UNITS: Record<TaskName, [before: string, after: string]> = {
  denoise: ["sigma", ""],
  dejpeg: ["JPEG quality", ""],
  upscale: ["scale", "×"],
};

/** What is written before and after a level's number. */
export function unitOf(task: TaskName): [before: string, after: string] {
  return UNITS[task];
}

/** "sigma 18", "JPEG quality 30", "scale 2×". */
export function phrase(task: TaskName, level: number): string {
  const [before, after] = UNITS[task];
  return `${before} ${written(level)}${after}`;
}

/** A level without digits that say nothing. */
export function written(level: number): string {
  return String(Math.round(level * 100) / 100);
}

/** Levels of the filmstrip, weakest first, both ends included. */
export function stopsOf(task: Task): number[] {
  const [low, high] = [task.weakest, task.strongest].sort((a, b) => a - b) as [number, number];
  const inside = STOPS[task.task].filter((level) => low < level && level < high);
  return [task.weakest, ...inside, task.strongest];
}

/** Where a level lies on the dial: 0 at the first stop, 1 at the second, in between in proportion. */
export function positionOf(stops: number[], level: number): number {
  const rising = (stops.at(-1) ?? 0) > (stops[0] ?? 0) ? 1 : -1;
  for (let index = 1; index < stops.length; index++) {
    const [from, to] = [stops[index - 1]!, stops[index]!];
    if (rising * level <= rising * to) return index - 1 + Math.max(0, (level - from) / (to - from));
  }
  return stops.length - 1;
}

/** The level at a place of the dial, rounded to the task's step. */
export function levelAt(task: Task, stops: number[], position: number): number {
  const place = Math.min(Math.max(position, 0), stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [stops[index]!, stops[index + 1]!];
  return rounded(task, from + (place - index) * (to - from));
}

/** A level some steps stronger (or weaker, if negative), within the dial. */
export function stepped(task: Task, level: number, steps: number): number {
  const direction = task.strongest > task.weakest ? 1 : -1;
  const [low, high] = [task.weakest, task.strongest].sort((a, b) => a - b) as [number, number];
  return rounded(task, Math.min(Math.max(level + direction * steps * STEPS[task.task], low), high));
}

function rounded(task: Task, level: number): number {
  const step = STEPS[task.task];
  return Number((Math.round(level / step) * step).toFixed(2));
}

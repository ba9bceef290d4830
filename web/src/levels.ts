/** What a slider's positions mean: level in its own unit <-> place between the stops, weakest first. */

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
  /** Further levels that its model takes. */
  axes: Axis[];
}

/** A further level, as the softness of a photo that is enlarged; `origin` is taken where none is given. */
export interface Axis {
  unit: string;
  low: number;
  high: number;
  trained: [number, number];
  origin: number;
}

/** What a slider moves along: levels from its left to its right end, and the smallest change that it makes. */
export interface Track {
  stops: number[];
  step: number;
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

const SOFTNESS = { stops: [0.5, 1, 1.5], step: 0.05 };

/** The dial of a task: its stops are the levels of the filmstrip, both ends included. */
export function trackOf({ task, weakest, strongest }: Task): Track {
  return { stops: between(weakest, strongest, STOPS[task]), step: STEPS[task] };
}

/** The slider of the softness. */
export function softnessTrack({ trained: [least, most] }: Axis): Track {
  return { stops: between(least, most, SOFTNESS.stops), step: SOFTNESS.step };
}

function between(first: number, last: number, inside: number[]): number[] {
  const [low, high] = [Math.min(first, last), Math.max(first, last)];
  return [first, ...inside.filter((level) => low < level && level < high), last];
}

/** Where a level lies on a slider: 0 at the first stop, 1 at the second, in between in proportion. */
export function positionOf(stops: number[], level: number): number {
  const rising = (stops.at(-1) ?? 0) > (stops[0] ?? 0) ? 1 : -1;
  for (let index = 1; index < stops.length; index++) {
    const [from, to] = [stops[index - 1]!, stops[index]!];
    if (rising * level <= rising * to) return index - 1 + Math.max(0, (level - from) / (to - from));
  }
  return stops.length - 1;
}

/** The level at a place of a slider, rounded to its step. */
export function levelAt({ stops, step }: Track, position: number): number {
  const place = Math.min(Math.max(position, 0), stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [stops[index]!, stops[index + 1]!];
  return rounded(from + (place - index) * (to - from), step);
}

/** A level some steps to the right (or to the left, if negative), within the slider. */
export function stepped({ stops, step }: Track, level: number, steps: number): number {
  const [first, last] = [stops[0]!, stops.at(-1)!];
  const moved = level + Math.sign(last - first) * steps * step;
  return rounded(Math.min(Math.max(moved, Math.min(first, last)), Math.max(first, last)), step);
}

function rounded(level: number, step: number): number {
  return Number((Math.round(level / step) * step).toFixed(2));
}

/** What a slider's positions mean: level in its own unit <-> place between the stops, weakest first. */

export type TaskName = "photo" | "denoise" | "dejpeg" | "upscale";

/** A kind of damage that is looked for in every photo; by the task that is for it alone. */
export type Damage = "denoise" | "dejpeg";

/** A further level of a task, by its name in requests. */
export type Field = "softness" | "colour_noise" | "jpeg_quality";

/** Values of further levels. */
export type Further = Partial<Record<Field, number>>;

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
  /** Whether it can put noise back as grain. */
  grain: boolean;
  /** Further levels that its model takes. */
  axes: Axis[];
}

/** A further level, as the softness of a photo that is enlarged; at `origin` unless it is moved. */
export interface Axis {
  unit: string;
  field: Field;
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
const NOISES = [5, 10, 15, 20, 30, 40, 55];
const QUALITIES = [85, 70, 55, 40, 30, 20, 10];
const STOPS: Record<TaskName, number[]> = {
  photo: NOISES,
  denoise: NOISES,
  dejpeg: QUALITIES,
  upscale: [1.5, 2, 2.5, 3, 3.5],
};

/** The smallest change of a level that the dial makes. */
const STEPS: Record<TaskName, number> = { photo: 0.5, denoise: 0.5, dejpeg: 1, upscale: 0.05 };

export const TITLES: Record<TaskName, string> = {
  photo: "Photo",
  denoise: "Denoise",
  dejpeg: "JPEG repair",
  upscale: "Upscale",
};

const UNITS: Record<TaskName, [before: string, after: string]> = {
  photo: ["noise", ""],
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

/** What is found in photos and decides where the dial of a task starts. */
const DAMAGES: Partial<Record<TaskName, Damage>> = { photo: "denoise", denoise: "denoise", dejpeg: "dejpeg" };

/** How a further level is called, what it means, and how its slider moves. */
interface Kind {
  name: string;
  title: string;
  means: string;
  ends: [string, string];
  stops: number[];
  step: number;
  /** What is found in photos and decides where it starts. */
  damage?: Damage;
  /** It is the same as the level of the task until it is moved. */
  follows?: true;
}

export const KINDS: Record<Field, Kind> = {
  softness: {
    name: "softness", title: "Softness of the photo", means: "how soft the small picture is; more makes the result sharper",
    ends: ["crisp", "soft"], stops: [0.5, 1, 1.5], step: 0.05,
  },
  colour_noise: {
    name: "colour noise", title: "Colour noise", means: "more removes blotches of colour",
    ends: ["weakest", "strongest"], stops: NOISES, step: 0.5, follows: true,
  },
  jpeg_quality: {
    name: "JPEG quality", title: "JPEG quality", means: "a lower quality repairs more",
    ends: ["weakest", "strongest"], stops: QUALITIES, step: 1, damage: "dejpeg",
  },
};

export const FIELDS = Object.keys(KINDS) as Field[];

/** Where a further level stands, beside a level of its task. */
export function valueOf({ field, origin }: Axis, level: number, moved: Further): number {
  return moved[field] ?? (KINDS[field].follows ? level : origin);
}

export function damageOf(one: Task | Axis): Damage | undefined {
  return "task" in one ? DAMAGES[one.task] : KINDS[one.field].damage;
}

export function nearestTrained({ trained: [least, most] }: Task | Axis, level: number): number {
  return Math.min(Math.max(level, least), most);
}

/** ", colour noise 30, JPEG quality 20": the further levels that were moved. */
export function andFurther(moved: Further): string {
  return FIELDS.map((field) => (moved[field] === undefined ? "" : `, ${KINDS[field].name} ${written(moved[field])}`)).join("");
}

/** The dial of a task: its stops are the levels of the filmstrip, both ends included. */
export function trackOf({ task, weakest, strongest }: Task): Track {
  return { stops: between(weakest, strongest, STOPS[task]), step: STEPS[task] };
}

/** The slider of a further level, from the end that is nearer to no damage. */
export function furtherTrack({ field, trained: [least, most], origin }: Axis): Track {
  const { stops, step } = KINDS[field];
  return { stops: origin - least <= most - origin ? between(least, most, stops) : between(most, least, stops), step };
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

/** A photo, and all that belongs to it alone. */

import { signal } from "@preact/signals";
import type { BrushMap } from "./brushmap";
import type { Frame } from "./frames";
import { begun, type Choice, type History } from "./history";
import { damageOf, nearestTrained, type Axis, type Field, type Task } from "./levels";
import type { Job, PhotoInfo } from "./server";
import type { Size, View } from "./view";

/** A photo of this page, from the moment it is dropped. */
export class Photo {
  readonly info = signal<PhotoInfo | null>(null);
  readonly error = signal<string | null>(null);
  readonly history = signal<History>(begun({ task: "photo", level: null, size: null, further: {}, map: null, grain: 0 }));
  /** The further level that was turned last; null after the dial itself. */
  readonly turned = signal<Field | null>(null);
  readonly view = signal<View>({ x: 0, y: 0, zoom: "fit" });
  /** The whole photo, shrunk: the thumbnail, and what is seen until sharper pixels come. */
  readonly whole = signal<Frame | null>(null);
  readonly job = signal<Job | null>(null);
  /** What the job was asked for: the dial may have moved on since. */
  readonly jobChoice = signal<Choice | null>(null);
  readonly jobError = signal<string | null>(null);
  /** Whether the result was downloaded. */
  kept = false;
  readonly mapError = signal<string | null>(null);
  /** The map as it is painted, before the stroke ends. */
  readonly draft = signal<{ map: BrushMap } | null>(null);
  readonly mapId = signal<{ map: BrushMap; id: string } | null>(null);

  constructor(readonly key: number, readonly file: File) {}

  get size(): Size {
    return this.info.value ?? { width: 1, height: 1 };
  }
}

/** What was found in a photo for a level, as near as its model was trained; null if nothing needs repair. */
export function foundLevel(info: PhotoInfo, known: Task | Axis): number | null {
  const damage = damageOf(known);
  const level = damage ? info.findings[damage].level : null;
  return level === null ? null : nearestTrained(known, level);
}

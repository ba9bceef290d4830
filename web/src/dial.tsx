/** The dial, above it the filmstrip of its levels, below it the sliders of further levels. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Frame } from "./frames";
import { damageOf, furtherTrack, KINDS, phrase, TITLES, unitOf, written, type Axis, type Damage, type TaskName } from "./levels";
import { chooseFound, chooseFurther, chooseGrain, chooseLevel, chooseSize, chooseTask, leaveAsItIs } from "./actions";
import { AS_IT_IS, type Side } from "./history";
import { foundLevel } from "./photo";
import { original, originalScene, restored, stripScene, THUMBNAIL } from "./scenes";
import { Icon } from "./icon";
import { NumberBox, Slider } from "./slider";
import {
  choice, current, further, level, liveFurther, liveLevel, resultSize, server, stops, task, track, unfolded, untouched,
} from "./state";

export function Dial() {
  const known = task.value;
  const info = current.value?.info.value;
  if (!known || !info) return null;
  const [before, after] = unitOf(known.task);
  return (
    <section class="dial" aria-label="Level" data-unfolded={(known.axes.length > 1 && unfolded.value) || undefined}>
      <div class="readout" data-grain={known.grain || undefined}>
        <Findings />
        <label class="level">
          <span>{before}</span>
          <NumberBox
            label={`Level: ${before}`} name={before} value={untouched.value ? null : level.value} live={liveLevel}
            low={known.low} high={known.high} choose={chooseLevel}
          />
          {after && <span>{after}</span>}
        </label>
        {known.grain ? <Grain /> : known.task === "upscale" ? <ResultSize /> : <Advice />}
      </div>
      <Filmstrip />
      <LevelSlider />
      <FurtherLevels />
    </section>
  );
}

/** What was found in the photo; a click sets the dial to it, or leaves the photo as it is. */
function Findings() {
  const info = current.value!.info.value!;
  const known = task.value!;
  const found = (["denoise", "dejpeg"] as const).flatMap((damage) => {
    const { level: at, sentence } = info.findings[damage];
    const about = damage === "denoise" ? "noise about" : "JPEG quality about";
    return at === null ? [] : [{ damage, text: `${about} ${written(Math.round(at))}`, sentence }];
  });
  const own = [known, ...known.axes].flatMap((one) => damageOf(one) ?? []); // what this task repairs
  const nothing = own.length > 0 && own.every((damage) => info.findings[damage].level === null);
  const sentences = (damages: Damage[]) => damages.map((damage) => info.findings[damage].sentence).join("; ");
  return (
    <p class="findings">
      <span class="quiet">{found.length ? "Found" : <span title={sentences(["denoise", "dejpeg"])}>Nothing found to repair</span>}</span>
      {found.map(({ damage, text, sentence }) => (
        <button
          key={damage} title={`${sentence}. Click to set the dial to this level.`}
          aria-pressed={isSetToFound(damage)} onClick={() => chooseFound(damage)}
        >{text}</button>
      ))}
      {nothing && (
        <button
          title={`${sentences(own)}. Click to leave the photo as it is. Saving then copies the file unchanged.`}
          aria-pressed={untouched.value} onClick={leaveAsItIs}
        >{AS_IT_IS}</button>
      )}
    </p>
  );
}

/** Whether the slider for a kind of damage stands at what was found. */
function isSetToFound(damage: Damage): boolean {
  const info = current.value!.info.value!;
  const own = [task.value!, ...task.value!.axes].find((one) => damageOf(one) === damage);
  return own !== undefined && foundLevel(info, own) === ("field" in own ? further.value[own.field] : level.value);
}

/** How much of the noise stays as grain. */
function Grain() {
  const grain = choice.value!.grain;
  const [turned, setTurned] = useState<number | null>(null);
  const percent = Math.round((turned ?? grain) * 100);
  const known = task.value!;
  return (
    <label class="grain quiet">
      {level.value > known.trained[1] && <span>{beyondTraining(known)}</span>}
      Grain kept
      <input
        type="range" min={0} max={100} step={5} value={percent} aria-valuetext={`${percent} %`}
        onInput={(event) => setTurned(Number(event.currentTarget.value) / 100)}
        onChange={(event) => {
          setTurned(null);
          chooseGrain(Number(event.currentTarget.value) / 100);
        }}
      />
      <output>{percent} %</output>
    </label>
  );
}

/** What is said of a level beyond those that the model was trained for. */
function beyondTraining({ trained: [least, most] }: { trained: [number, number] }): string {
  return `the model was trained for ${written(least)} to ${written(most)}`;
}

function Advice() {
  const known = task.value!;
  const [least, most] = known.trained;
  const outside = level.value < least || level.value > most;
  return <p class="advice quiet">{outside ? beyondTraining(known) : "a lower quality repairs more"}</p>;
}

const SIDES: Record<Side, string> = { to_width: "Width", to_height: "Height", long_side: "Long side" };

/** How large the result will be; one of its sides can be typed instead of the scale. */
function ResultSize() {
  const known = task.value!;
  const photo = current.value!;
  const [side, setSide] = useState<Side>(choice.value!.size?.side ?? "to_width");
  const field = useRef<HTMLInputElement>(null);
  const typing = useRef(false);
  const along = ({ width, height }: { width: number; height: number }) =>
    side === "to_width" ? width : side === "to_height" ? height : Math.max(width, height);
  const { width, height } = resultSize.value;
  const before = along(photo.size);
  useLayoutEffect(() => {
    if (!typing.current || liveLevel.value !== null) field.current!.value = String(along(resultSize.value));
  }, [width, height, side]);
  const take = () => {
    const pixels = Number(field.current!.value.trim() || NaN);
    const [least, most] = [Math.ceil(before * known.low), Math.floor(before * known.high)];
    const allowed = Number.isInteger(pixels) && pixels >= least && pixels <= most;
    field.current!.setCustomValidity(allowed ? "" : `${SIDES[side]} takes a whole number from ${least} to ${most}.`);
    if (!field.current!.reportValidity()) return;
    typing.current = false;
    chooseSize({ side, pixels }, pixels / before);
  };
  const outside = level.value < known.trained[0] || level.value > known.trained[1];
  return (
    <div class="size quiet">
      <select aria-label="Side of the result" value={side} onChange={(event) => setSide(event.currentTarget.value as Side)}>
        {Object.entries(SIDES).map(([name, title]) => <option key={name} value={name}>{title}</option>)}
      </select>
      <input
        ref={field} class="pixels" inputMode="numeric" autocomplete="off" aria-label={`${SIDES[side]} of the result, pixels`}
        onInput={(event) => {
          typing.current = true;
          event.currentTarget.setCustomValidity("");
        }}
        onChange={take}
        onBlur={(event) => {
          typing.current = false;
          event.currentTarget.setCustomValidity("");
          event.currentTarget.value = String(along(resultSize.value));
        }}
      />
      <output>{width} × {height} pixels{outside && `; ${beyondTraining(known)}`}</output>
    </div>
  );
}

const ENDS: Record<TaskName, [string, string]> = {
  photo: ["weakest", "strongest"],
  denoise: ["weakest", "strongest"],
  dejpeg: ["weakest", "strongest"],
  upscale: ["smallest", "largest"],
};

function LevelSlider() {
  const known = task.value!;
  const found = foundLevel(current.value!.info.value!, known);
  const at = level.value;
  return (
    <Slider
      track={track.value} at={at} live={liveLevel} choose={chooseLevel} ends={ENDS[known.task]} faint={untouched.value}
      label={`${TITLES[known.task]}, weakest to strongest`} valueText={untouched.value ? AS_IT_IS : phrase(known.task, at)}
      mark={found === null ? undefined : { at: found, title: `found: ${phrase(known.task, found)}` }}
    />
  );
}

/** Sliders of the task's further levels. Several of them are folded away where there is little room. */
function FurtherLevels() {
  const { axes } = task.value!;
  if (axes.length === 0) return null;
  const values = axes.map(({ field }) => `${KINDS[field].name} ${written(further.value[field]!)}`).join(", ");
  return (
    <>
      {axes.length > 1 && (
        <button class="fold" aria-expanded={unfolded.value} aria-controls="further" onClick={() => (unfolded.value = !unfolded.value)}>
          {values}<Icon name={unfolded.value ? "down" : "up"} />
        </button>
      )}
      <div class="further" id="further" data-several={axes.length > 1 || undefined}>
        {axes.map((axis) => <FurtherLevel key={axis.field} axis={axis} />)}
      </div>
    </>
  );
}

function FurtherLevel({ axis }: { axis: Axis }) {
  const { field, origin, trained: [least, most], low, high } = axis;
  const { name, title, means, ends, follows } = KINDS[field];
  const called = name.replace(/^./, (first) => first.toUpperCase());
  const at = further.value[field] ?? origin;
  const live = liveFurther[field];
  const choose = (wanted: number) => chooseFurther(axis, wanted);
  const found = foundLevel(current.value!.info.value!, axis);
  const mark = follows ? { at: level.value, title: "as the noise" }
    : found !== null ? { at: found, title: `found: ${written(found)}` }
    : least < origin && origin < most ? { at: origin, title: `usual: ${written(origin)}` } : undefined;
  const alone = choice.value!.further[field] !== undefined || live.value !== null;
  return (
    <div class={`axis ${field}`}>
      <p>
        {title}{" "}
        {follows && (
          <button aria-pressed={!alone} title="Let it follow the noise" onClick={() => chooseFurther(axis, null)}>as noise</button>
        )}
        <span class="quiet" id={`${field}-means`}>{at < least || at > most ? beyondTraining(axis) : means}</span>
      </p>
      <Slider
        track={furtherTrack(axis)} at={at} live={live} choose={choose} ends={ends} label={title} valueText={`${name} ${written(at)}`}
        describedBy={`${field}-means`} mark={mark}
      />
      <NumberBox label={called} name={called} value={at} live={live} low={low} high={high} choose={choose} />
    </div>
  );
}

function Filmstrip() {
  restored.version.value;
  original.version.value;
  const known = task.value!;
  const scene = stripScene.value;
  const plain = originalScene.value;
  const standIn = plain ? original.frame(plain, 0) : undefined;
  return (
    <ol class="filmstrip" aria-label="Levels to choose from" style={{ "--stops": stops.value.length }}>
      {stops.value.map((stop) => {
        const frame = scene ? restored.frame(scene, stop) : undefined;
        return (
          <li key={`${known.task} ${stop}`}>
            <button
              aria-pressed={choice.value?.level === stop} aria-label={phrase(known.task, stop)}
              onClick={() => chooseLevel(stop)}
            >
              <Thumbnail frame={frame ?? standIn} faint={!frame} />
              <span>{written(stop)}</span>
            </button>
          </li>
        );
      })}
    </ol>
  );
}

const { width: WIDTH, height: HEIGHT } = THUMBNAIL;

/** The middle of a view, pixel for pixel. */
function Thumbnail({ frame, faint }: { frame: Frame | undefined; faint: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current!.getContext("2d")!;
    context.clearRect(0, 0, WIDTH, HEIGHT);
    if (!frame) return;
    const { width, height } = frame.bitmap;
    // A closed bitmap has no size: it was dropped, and another one is on its way.
    if (!width) return;
    const enlarge = Math.max(WIDTH / width, HEIGHT / height, 1);
    context.imageSmoothingQuality = "high";
    context.drawImage(
      frame.bitmap, width / 2 - WIDTH / enlarge / 2, height / 2 - HEIGHT / enlarge / 2, WIDTH / enlarge, HEIGHT / enlarge,
      0, 0, WIDTH, HEIGHT,
    );
  }, [frame]);
  return <canvas ref={canvas} width={WIDTH} height={HEIGHT} data-faint={faint || undefined} aria-hidden="true" />;
}

export function Tasks() {
  const names: TaskName[] = server.value?.page.tasks.map(({ task: name }) => name) ?? [];
  return (
    <div class="segments" role="group" aria-label="Task">
      {names.map((name) => (
        <button
          key={name} aria-pressed={choice.value?.task === name} disabled={!choice.value}
          onClick={() => chooseTask(name)}
        >{TITLES[name]}</button>
      ))}
    </div>
  );
}

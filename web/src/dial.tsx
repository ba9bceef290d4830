/** The dial, above it the filmstrip of its levels, and the second dial of models that have one. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Frame } from "./frames";
import { phrase, TITLES, unitOf, written, type TaskName } from "./levels";
import { chooseGrain, chooseLevel, chooseSize, chooseSoftness, chooseTask, leaveAsItIs } from "./actions";
import { AS_IT_IS, type Side } from "./history";
import { original, originalScene, restored, stripScene, THUMBNAIL } from "./scenes";
import { NumberBox, Slider } from "./slider";
import {
  choice, current, level, liveLevel, liveSoftness, resultSize, server, softness, softnessAxis, softTrack, stops, task, track, untouched,
} from "./state";

export function Dial() {
  const known = task.value;
  const info = current.value?.info.value;
  if (!known || !info) return null;
  const [before, after] = unitOf(known.task);
  return (
    <section class="dial" aria-label="Level">
      <div class="readout">
        <Findings />
        <label class="level">
          <span>{before}</span>
          <NumberBox
            label={`Level: ${before}`} name={before} value={untouched.value ? null : level.value} live={liveLevel}
            low={known.low} high={known.high} choose={chooseLevel}
          />
          {after && <span>{after}</span>}
        </label>
        {known.task === "denoise" ? <Grain /> : known.task === "upscale" ? <ResultSize /> : <Advice />}
      </div>
      <Filmstrip />
      <LevelSlider />
      <Softness />
    </section>
  );
}

/** What was found in the photo; a click sets the dial to it, or leaves the photo as it is. */
function Findings() {
  const info = current.value!.info.value!;
  const found = (["denoise", "dejpeg"] as const).flatMap((name) => {
    const finding = info.findings[name];
    if (finding?.level == null) return [];
    const about = name === "denoise" ? "noise about" : "JPEG quality about";
    return [{ name, level: finding.level, text: `${about} ${written(Math.round(finding.level))}`, sentence: finding.sentence }];
  });
  const here = info.findings[task.value!.task];
  const sentences = Object.values(info.findings).map((finding) => finding.sentence).join("; ");
  return (
    <p class="findings">
      <span class="quiet">{found.length ? "Found" : <span title={sentences}>Nothing found to repair</span>}</span>
      {found.map(({ name, level: at, text, sentence }) => (
        <button
          key={name} title={`${sentence}. Click to set the dial to this level.`}
          aria-pressed={choice.value?.task === name && level.value === at} onClick={() => chooseTask(name, at)}
        >{text}</button>
      ))}
      {here && here.level === null && (
        <button
          title={`${here.sentence}. Click to leave the photo as it is. Saving then copies the file unchanged.`}
          aria-pressed={untouched.value} onClick={leaveAsItIs}
        >{AS_IT_IS}</button>
      )}
    </p>
  );
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
  denoise: ["weakest", "strongest"],
  dejpeg: ["weakest", "strongest"],
  upscale: ["smallest", "largest"],
};

function LevelSlider() {
  const known = task.value!;
  const found = current.value!.info.value!.findings[known.task]?.level;
  const at = level.value;
  return (
    <Slider
      track={track.value} at={at} live={liveLevel} choose={chooseLevel} ends={ENDS[known.task]} faint={untouched.value}
      label={`${TITLES[known.task]}, weakest to strongest`} valueText={untouched.value ? AS_IT_IS : phrase(known.task, at)}
      mark={found == null ? undefined : { at: found, title: `found: ${phrase(known.task, found)}` }}
    />
  );
}

/** How soft the photo is, for models that have this level. */
function Softness() {
  const axis = softnessAxis.value;
  if (!axis) return null;
  const at = softness.value ?? axis.origin;
  const [least, most] = axis.trained;
  const outside = at < least || at > most;
  return (
    <div class="softness">
      <p>
        Softness of the photo{" "}
        <span class="quiet" id="softness-means">
          {outside ? beyondTraining(axis) : "how soft the small picture is; more makes the result sharper"}
        </span>
      </p>
      <Slider
        track={softTrack.value} at={at} live={liveSoftness} choose={chooseSoftness} ends={["crisp", "soft"]}
        label="Softness of the photo" valueText={`softness ${written(at)}`} describedBy="softness-means"
        mark={{ at: axis.origin, title: `usual: ${written(axis.origin)}` }}
      />
      <NumberBox
        label="Softness" name="Softness" value={at} live={liveSoftness} low={axis.low} high={axis.high} choose={chooseSoftness}
      />
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

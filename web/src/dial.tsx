/** The dial, and above it the filmstrip of its levels. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Frame } from "./frames";
import { levelAt, phrase, positionOf, stepped, TITLES, unitOf, written, type TaskName } from "./levels";
import { chooseGrain, chooseLevel, chooseSize, chooseTask, leaveAsItIs } from "./actions";
import { AS_IT_IS, type Side } from "./history";
import { original, originalScene, restored, stripScene, THUMBNAIL } from "./scenes";
import { choice, current, level, liveLevel, resultSize, server, stops, task, untouched } from "./state";

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
          <LevelBox />
          {after && <span>{after}</span>}
        </label>
        {known.task === "denoise" ? <Grain /> : known.task === "upscale" ? <ResultSize /> : <Advice />}
      </div>
      <Filmstrip />
      <Slider />
    </section>
  );
}

/** What was found in the photo; a press sets the dial to it, or leaves the photo as it is. */
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
          key={name} title={`${sentence}. Press to set the dial to it.`}
          aria-pressed={choice.value?.task === name && level.value === at} onClick={() => chooseTask(name, at)}
        >{text}</button>
      ))}
      {here && here.level === null && (
        <button
          title={`${here.sentence}. Press to leave the photo as it is; saving then copies it byte for byte.`}
          aria-pressed={untouched.value} onClick={leaveAsItIs}
        >{AS_IT_IS}</button>
      )}
    </p>
  );
}

/** The level as a number that can be typed. */
function LevelBox() {
  const known = task.value!;
  const field = useRef<HTMLInputElement>(null);
  const number = () => (untouched.value ? "" : written(level.value));
  useLayoutEffect(() => {
    if (document.activeElement !== field.current || liveLevel.value !== null) field.current!.value = number();
  }, [level.value, known, untouched.value]);
  const take = () => {
    const typed = Number(field.current!.value.trim().replace(",", "."));
    const allowed = field.current!.value.trim() !== "" && typed >= known.low && typed <= known.high;
    field.current!.setCustomValidity(
      allowed ? "" : `${unitOf(known.task)[0]} takes a number from ${written(known.low)} to ${written(known.high)}.`,
    );
    if (field.current!.reportValidity()) chooseLevel(typed);
  };
  return (
    <input
      ref={field} class="number" inputMode="decimal" aria-label={`Level: ${unitOf(known.task)[0]}`} autocomplete="off" placeholder="–"
      onInput={(event) => event.currentTarget.setCustomValidity("")} onChange={take}
      onBlur={(event) => {
        event.currentTarget.setCustomValidity("");
        event.currentTarget.value = number();
      }}
    />
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
      {level.value > known.trained[1] && <span>above {written(known.trained[1])} the model extrapolates</span>}
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

function Advice() {
  const known = task.value!;
  const [least, most] = known.trained;
  const outside = level.value < least || level.value > most;
  const text = outside ? `outside ${written(least)} to ${written(most)} the model extrapolates`
    : "lower repairs more";
  return <p class="advice quiet">{text}</p>;
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
      <output>{width} × {height} pixels{outside && "; the model extrapolates"}</output>
    </div>
  );
}

const ENDS: Record<TaskName, [string, string]> = {
  denoise: ["weakest", "strongest"],
  dejpeg: ["weakest", "strongest"],
  upscale: ["smallest", "largest"],
};

function Slider() {
  const known = task.value!;
  const marks = stops.value;
  const last = marks.length - 1;
  const resting = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const found = current.value!.info.value!.findings[known.task]?.level;
  /** A drag ends, also one that ends where it began: browsers tell no change of that. */
  const drag = () => {
    const stop = new AbortController();
    const end = () => {
      stop.abort();
      settle();
    };
    for (const name of ["pointerup", "pointercancel"] as const) window.addEventListener(name, end, { signal: stop.signal });
  };
  const settle = () => {
    clearTimeout(resting.current);
    if (liveLevel.peek() !== null) chooseLevel(liveLevel.peek()!);
  };
  const byKeys = (event: KeyboardEvent) => {
    const steps = {
      ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e6, End: 1e6,
    }[event.key];
    if (steps === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    liveLevel.value = stepped(known, level.peek(), event.shiftKey ? steps * 10 : steps);
    clearTimeout(resting.current);
    resting.current = setTimeout(settle, 300);
  };
  return (
    <div class="slider" data-untouched={untouched.value || undefined} style={{ "--stops": marks.length, "--at": positionOf(marks, level.value) / last }}>
      <div class="rail">
        <div class="fill" />
        {found != null && <i class="found" style={{ left: `${(positionOf(marks, found) / last) * 100}%` }} title={`found: ${phrase(known.task, found)}`} />}
      </div>
      <input
        type="range" min={0} max={last} step="any" value={positionOf(marks, level.value)}
        aria-label={`${TITLES[known.task]}, weakest to strongest`} aria-valuetext={untouched.value ? AS_IT_IS : phrase(known.task, level.value)}
        onPointerDown={drag}
        onInput={(event) => {
          clearTimeout(resting.current);
          liveLevel.value = levelAt(known, marks, Number(event.currentTarget.value));
        }}
        onChange={settle} onKeyDown={byKeys} onBlur={settle}
      />
      <div class="ends quiet"><span>{ENDS[known.task][0]}</span><span>{ENDS[known.task][1]}</span></div>
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
    <ol class="filmstrip" aria-label="Levels to pick from" style={{ "--stops": stops.value.length }}>
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

/** What opens beside the photo: the brush, and saving the result. */

import { useState } from "preact/hooks";
import { Icon } from "./icon";
import { andFurther, phrase } from "./levels";
import { cancelJob, fillMap, removeMap, startJob } from "./actions";
import { inWords } from "./history";
import type { Photo } from "./photo";
import { AllSaved, saveAll, savingAll } from "./saveall";
import { brush, brushSize, choice, current, levelFor, photos, resultSize, saving, server, showMap, task, tool } from "./state";

export function BrushPanel() {
  const photo = current.value;
  const now = choice.value;
  if (!brush.value || !photo || !now || !task.value) return null;
  const painted = now.map !== null || photo.draft.value !== null;
  return (
    <section class="panel brush" aria-label="Brush">
      <header><h2>Brush</h2><Close what="brush" onClick={() => (brush.value = false)} /></header>
      <p class="quiet long">
        Red areas are restored at {phrase(now.task, levelFor(now))}{andFurther(now.further)}; the rest{" "}
        {now.task !== "dejpeg" ? "stays as it is" : `at ${phrase(now.task, task.value.weakest)}, the weakest level`}.
        {!painted && " Paint what needs it, or erase what does not."}
      </p>
      <div class="segments" role="group" aria-label="Tool">
        {(["paint", "erase"] as const).map((name) => (
          <button key={name} aria-pressed={tool.value === name} onClick={() => (tool.value = name)}>
            <Icon name={name === "paint" ? "brush" : "eraser"} />{name === "paint" ? "Paint" : "Erase"}
          </button>
        ))}
      </div>
      <label class="row">Size
        <input
          type="range" min={8} max={300} value={brushSize.value} aria-valuetext={`${brushSize.value} pixels`}
          onInput={(event) => (brushSize.value = Number(event.currentTarget.value))}
        />
      </label>
      <label class="row">Show the red
        <input type="checkbox" checked={showMap.value} onChange={(event) => (showMap.value = event.currentTarget.checked)} />
      </label>
      <div class="row">
        <button onClick={() => fillMap(255)}>All</button>
        <button onClick={() => fillMap(0)}>None</button>
        <button disabled={!painted} onClick={removeMap}>Clear</button>
      </div>
      {photo.mapError.value && <p class="error" role="alert">{photo.mapError.value}</p>}
    </section>
  );
}

const LOSSY = ["jpg", "jpeg", "webp", "avif"];

/** Whether a photo's file will be in a format that takes a quality. */
function lossy(photo: Photo, format: string): boolean {
  return LOSSY.includes((format || (photo.info.value?.format ?? "")).toLowerCase());
}

export function SavePanel() {
  const photo = current.value;
  const info = photo?.info.value;
  const now = choice.value;
  const [format, setFormat] = useState("");
  const [quality, setQuality] = useState("");
  if (!saving.value || !photo || !info || !now) return null;
  const several = photos.value.length > 1;
  const takesQuality = (several ? photos.value : [photo]).some((one) => lossy(one, format));
  const { width, height } = resultSize.value;
  const start = (one: Photo) => startJob(one, format, lossy(one, format) && quality !== "" ? Number(quality) : null);
  const working = photo.job.value?.state === "queued" || photo.job.value?.state === "running";
  return (
    <section class="panel" aria-label="Save the result">
      <header><h2>Save the result</h2><Close what="saving" onClick={() => (saving.value = false)} /></header>
      <p class="quiet">{inWords(now)}{now.map && ", with the brush"}, {width} × {height} pixels</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (event.submitter?.getAttribute("name") === "all") void saveAll(start);
          else void start(photo);
        }}
      >
        <label class="row">Format
          <select value={format} onChange={(event) => setFormat(event.currentTarget.value)}>
            <option value="">same as the photo ({info.format.toUpperCase()})</option>
            {server.value?.page.formats.map((name) => <option key={name} value={name}>{name.toUpperCase()}</option>)}
          </select>
        </label>
        {takesQuality && (
          <label class="row">Quality
            <input
              type="number" min={1} max={100} step={1} placeholder="default" value={quality}
              onInput={(event) => setQuality(event.currentTarget.value)}
            />
          </label>
        )}
        <button class="main" type="submit" disabled={working}>{now.level === null ? "Copy the photo" : "Restore the whole photo"}</button>
        {several && (
          <button type="submit" name="all" disabled={savingAll.value} title="Each photo with its own settings">
            Save all {photos.value.length} photos
          </button>
        )}
      </form>
      {!savingAll.value && <Progress photo={photo} />}
      {several && <AllSaved />}
    </section>
  );
}

function Progress({ photo }: { photo: Photo }) {
  const job = photo.job.value;
  const made = photo.jobChoice.value;
  const failed = photo.jobError.value ?? (job?.state === "failed" ? job.error : null);
  if (failed) return <p class="error" role="alert">{failed}</p>;
  if (!job) return null;
  if (job.state === "cancelled") return <p class="quiet" role="status">Cancelled. Nothing was kept.</p>;
  if (job.state === "done") {
    return (
      <div role="status">
        <a class="button main" href={server.value!.fileOf(job.id)} download onClick={() => (photo.kept = true)}>
          <Icon name="download" />Download{made && `, ${inWords(made)}`}
        </a>
        {job.notes.map((note) => <p key={note} class="quiet">{note}</p>)}
      </div>
    );
  }
  const left = job.seconds_left;
  const waiting = job.state === "queued" ? "Waiting for other photos" : left === null ? "Started" : `About ${spoken(left)} left`;
  return (
    <div class="progress">
      <progress max={Math.max(job.total, 1)} value={job.state === "queued" ? undefined : job.done} aria-label="Progress" />
      <div class="row"><span role="status">{waiting}</span><button onClick={() => void cancelJob(photo)}>Cancel</button></div>
    </div>
  );
}

function spoken(seconds: number): string {
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

function Close({ what, onClick }: { what: string; onClick: () => void }) {
  return <button class="plain" aria-label={`Close ${what}`} onClick={onClick}><Icon name="close" /></button>;
}

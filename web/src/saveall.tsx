/** Saving all photos, each as it was chosen for it: how far they are, and one file to download. */

import { computed, effect, signal } from "@preact/signals";
import { cancelJob } from "./actions";
import { Icon } from "./icon";
import type { Photo } from "./photo";
import { photos, server } from "./state";

/** Whether jobs are being asked for. */
const starting = signal(false);

/** Whether the jobs that there are were asked for together. */
const batched = signal(false);

const inWork = computed(() => photos.value.filter((photo) => ["queued", "running"].includes(photo.job.value?.state ?? "")));

/** Whether jobs of several photos are asked for, or not done yet. */
export const savingAll = computed(() => starting.value || inWork.value.length > 1 || (inWork.value.length > 0 && batched.value));

/** Wait until the server has read a photo or has said why it cannot, the photo is removed, or all is cancelled. */
function read(photo: Photo): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      const gone = !photos.value.includes(photo) || !starting.value;
      if (photo.info.value || photo.error.value || gone) queueMicrotask(() => (stop(), resolve()));
    });
  });
}

/** Restore all photos that can be read, also those that are still on their way. The server makes one after the other, each into a file of its own. */
export async function saveAll(start: (photo: Photo) => Promise<void>): Promise<void> {
  starting.value = batched.value = true;
  try {
    for (const photo of photos.peek()) {
      await read(photo);
      if (!starting.peek()) return; // cancelled
      if (photo.info.peek()) await start(photo);
    }
  } finally {
    starting.value = false;
  }
}

async function cancelAll(): Promise<void> {
  starting.value = false;
  for (const photo of inWork.peek().toReversed()) await cancelJob(photo); // the last first, so that none begins meanwhile
}

export function AllSaved() {
  const wanted = photos.value.filter((photo) => photo.job.value || photo.jobError.value);
  if (!batched.value || wanted.length < 2) return null;
  const done = wanted.filter((photo) => photo.job.value?.state === "done");
  return (
    <section class="all" aria-label="All photos">
      {savingAll.value ? <Working wanted={wanted} /> : done.length > 0 && <Archive done={done} />}
      <Failures />
      <Notes done={done} />
    </section>
  );
}

function Working({ wanted }: { wanted: Photo[] }) {
  const shares = wanted.map((photo) => {
    const job = photo.job.value;
    return job?.state === "running" ? job.done / Math.max(job.total, 1) : job?.state === "queued" ? 0 : 1;
  });
  const left = inWork.value.length;
  return (
    <div class="progress">
      <progress max={photos.value.length} value={shares.reduce((sum, share) => sum + share, 0)} aria-label="Progress of all photos" />
      <div class="row">
        <span role="status">{wanted.length - left} of {wanted.length} photos done</span>
        <button type="button" onClick={() => void cancelAll()}>Cancel all</button>
      </div>
    </div>
  );
}

/** The files of all that is done; what the dial shows now may be another choice than was saved. */
function Archive({ done }: { done: Photo[] }) {
  const moved = done.filter((photo) => photo.jobChoice.value !== photo.history.value.now).length;
  const keep = () => done.forEach((photo) => (photo.kept = true));
  return (
    <div role="status">
      <a class="button main" href={server.value!.archiveOf(done.map((photo) => photo.job.value!.id))} download onClick={keep}>
        <Icon name="download" />Download {done.length} photos (ZIP)
      </a>
      {moved > 0 && <p class="quiet">{moved} changed since then. Save all again to include the changes.</p>}
    </div>
  );
}

function Failures() {
  const failed = photos.value.flatMap((photo) => {
    const { value: job } = photo.job;
    const why = photo.error.value ?? photo.jobError.value ?? (job?.state === "failed" ? job.error : null);
    return why === null ? [] : [{ key: photo.key, text: why.startsWith(`${photo.file.name}: `) ? why : `${photo.file.name}: ${why}` }];
  });
  if (failed.length === 0) return null;
  return <div role="alert">{failed.map(({ key, text }) => <p key={key} class="error">{text}</p>)}</div>;
}

/** What was converted, copied or could not be kept, photo by photo. */
function Notes({ done }: { done: Photo[] }) {
  const noted = done.filter((photo) => photo.job.value!.notes.length > 0);
  if (noted.length === 0) return null;
  return (
    <details>
      <summary>Notes on {noted.length} {noted.length === 1 ? "photo" : "photos"}</summary>
      {noted.map((photo) => <p key={photo.key} class="quiet">{photo.file.name}: {photo.job.value!.notes.join("; ")}</p>)}
    </details>
  );
}

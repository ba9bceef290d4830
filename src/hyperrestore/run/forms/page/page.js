/** The page: a photo comes in, is restored by the worker at the levels of the dials, and is saved. */

import { makeDials, phrase } from "./dial.js";
import { makeStage } from "./stage.js";

const TITLES = { denoise: "Denoise", dejpeg: "JPEG repair", photo: "Photo" };

const $ = (selector) => document.querySelector(selector);
const [page, banner, chip, told, progress] = [".page", ".banner", ".chip", ".chip [role=status]", "progress"].map($);
const [restoreButton, saveButton, holdButton, field] = [".restore", ".save", ".hold", "input[type=file]"].map($);

const worker = new Worker(`worker.js${location.search}`, { type: "module" });
const stage = makeStage($(".stage"));

let about, dials; // what the model is, and its levels; they come last, since a photo may be chosen before
let job = 0; // the number of what the worker was last asked for
let photo; // { name, size }
let running = false;

worker.addEventListener("message", ({ data }) => {
  if (data.job !== job) data.bitmap?.close();
  else answers[data.kind](data);
});
worker.addEventListener("error", (event) => fail(event.message || "The worker of this page did not start."));

const answers = {
  opened({ bitmap }) {
    photo = { ...photo, size: `${bitmap.width} × ${bitmap.height}` };
    page.removeAttribute("data-empty");
    stage.show(bitmap);
    offerToRestore();
    tell(photo.size);
  },
  tile({ pixels, left, top, width, ready, all }) {
    if (ready === 1) stage.begin();
    stage.put(pixels, left, top, width);
    tell(`tile ${ready} of ${all}`, ready / all);
  },
  done({ levels, device, seconds }) {
    if (!device) stage.begin(); // nothing to repair: the photo as it is
    const took = device ? `${seconds.toFixed(1)} s, ${device}` : "as it is";
    tell(`${phrase(about.levels, levels)} · ${photo.size} · ${took}`);
    chip.dataset.done = "";
    rest(true);
  },
  error: ({ text }) => fail(text),
};

/** Say what there is, in the corner of the photo; `share` is how much of a job is done. */
function tell(text, share) {
  told.textContent = text;
  delete chip.dataset.done;
  progress.hidden = share === undefined;
  progress.value = share ?? 0;
}

function fail(text) {
  banner.textContent = text;
  banner.hidden = false;
  if (photo?.size) tell(photo.size);
  stage.drop();
  rest(false);
}

/** Nothing is being restored any more. */
function rest(restored) {
  running = false;
  restoreButton.textContent = "Restore";
  saveButton.disabled = holdButton.disabled = !restored;
}

function ask(kind, more) {
  banner.hidden = true;
  job += 1;
  worker.postMessage({ kind, job, ...more });
}

function open(file) {
  if (!file) return;
  photo = { name: file.name || "photo" };
  rest(false);
  offerToRestore();
  ask("open", { file });
}

/** Restoring takes a photo and the levels. */
function offerToRestore() {
  restoreButton.disabled = !(about && photo?.size);
}

restoreButton.addEventListener("click", () => {
  if (running) {
    ask("stop");
    stage.drop();
    tell(photo.size);
    return rest(false);
  }
  rest(false);
  running = true;
  restoreButton.textContent = "Stop";
  stage.drop();
  tell("restoring", 0);
  ask("restore", { levels: dials.levels(), about });
});

saveButton.addEventListener("click", () => {
  stage.after.toBlob((blob) => {
    if (!blob) return fail("This browser cannot make a PNG file of a photo of this size.");
    const link = Object.assign(document.createElement("a"), {
      href: URL.createObjectURL(blob),
      download: `${photo.name.replace(/\.[^.]*$/, "")}-restored.png`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
});

for (const button of document.querySelectorAll(".choose")) button.addEventListener("click", () => field.click());
field.addEventListener("change", () => {
  open(field.files[0]);
  field.value = ""; // so that the same file can be chosen again
});

for (const [button, actual] of [[$(".fit"), false], [$(".actual"), true]]) {
  button.addEventListener("click", () => {
    stage.zoom(actual);
    $(".fit").setAttribute("aria-pressed", !actual);
    $(".actual").setAttribute("aria-pressed", actual);
  });
}

for (const name of ["pointerdown", "keydown"]) {
  holdButton.addEventListener(name, ({ key }) => (key === undefined || key === " " || key === "Enter") && stage.hold(true));
}
for (const name of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) {
  holdButton.addEventListener(name, () => stage.hold(false));
}

window.addEventListener("dragover", (event) => {
  event.preventDefault();
  $(".over").hidden = !event.dataTransfer?.types.includes("Files");
});
window.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) $(".over").hidden = true;
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  $(".over").hidden = true;
  open(event.dataTransfer?.files[0]);
});
window.addEventListener("paste", (event) => open(event.clipboardData?.files[0]));

about = await (await fetch("page.json")).json();
dials = makeDials($(".dials"), about.levels, () => {});
$(".task").textContent = TITLES[about.task] ?? about.task;
offerToRestore();

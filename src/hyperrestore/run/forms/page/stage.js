/** The photo before and after, with a line between them that can be moved. */

const LARGEST = 4; // how many times a small photo is enlarged to fit

/** The stage, in an element that holds `.view`, `.photo` with two canvases, `.wipe`, `.tags`. */
export function makeStage(element) {
  const [view, photo, wipe, tags] = [".view", ".photo", ".wipe", ".tags"].map((part) => element.querySelector(part));
  const [before, after] = photo.querySelectorAll("canvas");
  let [at, actual, compared, held] = [0.5, false, false, false];

  /** Give the photo its size, and show of each canvas what lies on its side of the line. */
  function arrange() {
    if (!before.width || !view.clientWidth) return;
    const dense = window.devicePixelRatio || 1;
    const fit = Math.min(view.clientWidth / before.width, view.clientHeight / before.height, LARGEST / dense);
    const scale = actual ? 1 / dense : fit;
    photo.style.width = `${before.width * scale}px`;
    photo.style.height = `${before.height * scale}px`;
    photo.classList.toggle("enlarged", scale * dense >= 2);
    const place = photo.getBoundingClientRect();
    const frame = view.getBoundingClientRect();
    const cut = held ? place.width + frame.width : frame.left + at * view.clientWidth - place.left;
    before.style.clipPath = compared ? `inset(0 ${place.width - cut}px 0 0)` : "";
    after.style.clipPath = `inset(0 0 0 ${cut}px)`;
    after.hidden = !compared;
    wipe.hidden = tags.hidden = !compared || held;
    wipe.style.left = `${at * view.clientWidth}px`;
    wipe.setAttribute("aria-valuenow", Math.round(at * 100));
  }

  function moveTo(share) {
    at = Math.min(Math.max(share, 0), 1);
    arrange();
  }

  wipe.addEventListener("pointerdown", (event) => wipe.setPointerCapture(event.pointerId));
  wipe.addEventListener("pointermove", (event) => {
    if (wipe.hasPointerCapture(event.pointerId)) moveTo((event.clientX - view.getBoundingClientRect().left) / view.clientWidth);
  });
  wipe.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    moveTo(at + move);
  });
  view.addEventListener("scroll", arrange);
  new ResizeObserver(arrange).observe(view);

  return {
    after,
    /** Show a photo that was decoded; there is no result yet. */
    show(bitmap) {
      for (const canvas of [before, after]) [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      before.getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
      compared = false;
      arrange();
    },
    /** A result begins: the photo, whose tiles are replaced one by one. */
    begin() {
      const context = after.getContext("2d", { willReadFrequently: true });
      context.globalCompositeOperation = "copy";
      context.drawImage(before, 0, 0);
      compared = true;
      arrange();
    },
    put: (pixels, left, top, width) => after.getContext("2d").putImageData(new ImageData(pixels, width), left, top),
    /** No result: the photo alone. */
    drop() {
      compared = false;
      arrange();
    },
    zoom(wanted) {
      actual = wanted;
      arrange();
      arrange(); // scroll bars may have come or gone
    },
    hold(wanted) {
      held = wanted;
      arrange();
    },
  };
}

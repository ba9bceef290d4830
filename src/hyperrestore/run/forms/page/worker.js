/** Decodes a photo and restores it tile by tile, in a thread of its own, so that the page stays responsive. */

import { openNetwork } from "./network.js";
import { removeTint } from "./neutral.js";
import { tilesOf } from "./tiles.js";

const MOST_PIXELS = 64e6; // 12 bytes each, in three canvases
const LONGEST_SIDE = 16384; // of a canvas, in most browsers
const device = new URLSearchParams(self.location.search).get("device");

let photo; // { context, width, height }
let current; // the number of the job; a newer one ends those before it
let network; // a promise, from the first photo on

const jobs = { open, restore, stop: () => {} };

self.addEventListener("message", async ({ data }) => {
  current = data.job;
  try {
    await jobs[data.kind](data);
  } catch (error) {
    postMessage({ kind: "error", job: data.job, text: error.message ?? String(error) });
  }
});

/** Decode a photo: upright, in sRGB, with 8 bits. */
async function open({ job, file }) {
  photo = undefined;
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name}: this browser cannot read it; give a JPEG, PNG or WebP file`);
  });
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS || Math.max(width, height) > LONGEST_SIDE) {
    bitmap.close();
    throw new Error(
      `${file.name}: ${width} × ${height} pixels are too many for a browser; this page takes ${MOST_PIXELS / 1e6} ` +
        `megapixels, and ${LONGEST_SIDE} pixels a side. The command line takes any: hyperrestore --help`,
    );
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  if (job !== current) return bitmap.close();
  photo = { context, width, height };
  postMessage({ kind: "opened", job, bitmap }, [bitmap]);
  readyNetwork().catch(() => {}); // in advance; if it fails, restoring says so
}

/** Restore the photo, and send every tile when it is ready. */
async function restore({ job, levels, about }) {
  const { context, width, height } = photo;
  const harmless = about.harmless?.every((level, axis) => level === levels[axis]);
  let open = harmless ? null : await readyNetwork();
  const began = performance.now();
  const tiles = harmless ? [] : tilesOf(width, height, { size: about.tile, halo: about.halo, stride: about.stride });
  for (const [index, tile] of tiles.entries()) {
    if (job !== current) return;
    let pixels;
    try {
      pixels = await restoredTile(context, tile, levels, about.halo, open);
    } catch (error) {
      if (open.device === "processor" || device === "gpu") throw error;
      console.warn("The graphics card fails, the processor goes on:", error);
      network = openNetwork("cpu");
      open = await network;
      pixels = await restoredTile(context, tile, levels, about.halo, open);
    }
    const kept = { left: tile.x.keepStart, top: tile.y.keepStart, width: tile.x.keepStop - tile.x.keepStart };
    postMessage({ kind: "tile", job, pixels, ...kept, ready: index + 1, all: tiles.length }, [pixels.buffer]);
    await messagesHeard();
  }
  if (job !== current) return;
  postMessage({ kind: "done", job, levels, device: open?.device, seconds: (performance.now() - began) / 1000 });
}

/** The kept pixels of a tile, RGBA of 8 bits; their alpha is that of the photo. */
async function restoredTile(context, { x, y }, levels, halo, { run }) {
  const [width, height] = [x.readStop - x.readStart, y.readStop - y.readStart];
  const { data } = context.getImageData(x.readStart, y.readStart, width, height);
  const image = planesOf(data);
  const restored = await run(image, width, height, levels);
  removeTint(restored, image, { width, height, halo });
  const kept = new Uint8ClampedArray((x.keepStop - x.keepStart) * (y.keepStop - y.keepStart) * 4);
  const area = width * height;
  let to = 0;
  for (let row = y.keepStart - y.readStart; row < y.keepStop - y.readStart; row++) {
    for (let column = x.keepStart - x.readStart; column < x.keepStop - x.readStart; column++) {
      const from = row * width + column;
      for (let channel = 0; channel < 3; channel++) kept[to++] = restored[from + channel * area] * 255; // rounds and clips
      kept[to++] = data[4 * from + 3];
    }
  }
  return kept;
}

/** RGBA of 8 bits -> planes of red, green and blue, values in [0, 1]. */
function planesOf(data) {
  const area = data.length / 4;
  const planes = new Float32Array(3 * area);
  for (let at = 0; at < area; at++) {
    for (let channel = 0; channel < 3; channel++) planes[channel * area + at] = data[4 * at + channel] / 255;
  }
  return planes;
}

/** The network, loaded once; after a failure it is tried anew. */
function readyNetwork() {
  network ??= openNetwork(device).catch((error) => {
    network = undefined;
    throw error;
  });
  return network;
}

/** Lets messages that have come be handled, such as one that stops this job. */
function messagesHeard() {
  return new Promise((resume) => setTimeout(resume, 0));
}

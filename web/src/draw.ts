/** Draws photo and result on the canvas, aligned to the pixel. */

import type { BrushMap } from "./brushmap";
import type { Blend, Frame } from "./frames";
import { place, type Pane, type Placing, type Size, type View } from "./view";

export interface Picture {
  photo: Size;
  view: View;
  scale: number;
  whole: Frame | null;
  original: Frame | null;
  standIn: Frame | null;
  blend: Blend | null;
}

type Context = CanvasRenderingContext2D;

/** The photo as it is. */
export function drawBefore(context: Context, pane: Pane, picture: Picture): void {
  inside(context, pane, picture, (placing) => {
    if (picture.whole) drawFrame(context, picture.whole, placing);
    if (picture.original) drawFrame(context, picture.original, placing);
  });
}

/** The result as well as it is known; where it is not, the photo. */
export function drawAfter(context: Context, pane: Pane, picture: Picture): void {
  drawBefore(context, pane, picture);
  inside(context, pane, picture, (placing) => {
    const { blend, standIn } = picture;
    if (standIn) drawFrame(context, standIn, placing);
    if (!blend) return;
    drawFrame(context, blend.lower, placing);
    if (blend.upper && blend.share > 0) drawFrame(context, blend.upper, placing, blend.share);
  });
}

/** Where the brush has painted, in the red that retouchers know. */
export function drawMap(context: Context, pane: Pane, picture: Picture, map: BrushMap): void {
  const tinted = new OffscreenCanvas(map.width, map.height);
  const pixels = new ImageData(map.width, map.height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let index = 0; index < words.length; index++) {
    words[index] = ((map.grey[index]! * 0.45) << 24) | 0x003030e0; // little-endian: alpha, blue, green, red
  }
  tinted.getContext("2d")!.putImageData(pixels, 0, 0);
  inside(context, pane, picture, ({ left, top, density }) => {
    const { width, height } = picture.photo;
    context.imageSmoothingEnabled = true;
    context.drawImage(tinted, left, top, width * density, height * density);
  });
}

function inside(context: Context, pane: Pane, picture: Picture, draw: (placing: Placing) => void): void {
  context.save();
  context.beginPath();
  context.rect(pane.left, pane.top, pane.width, pane.height);
  context.clip();
  draw(place(picture.view, pane, picture.photo, picture.scale));
  context.restore();
}

function drawFrame(context: Context, { bitmap, region, unit }: Frame, placing: Placing, share = 1): void {
  const size = unit * placing.density; // device pixels for each pixel of the frame
  const left = snapped(placing.left + region.left * size);
  const top = snapped(placing.top + region.top * size);
  const width = snapped(region.width * size);
  const height = snapped(region.height * size);
  context.imageSmoothingEnabled = size < 2 && Math.abs(size - 1) > 1e-6;
  context.imageSmoothingQuality = "high";
  if (share === 1) context.clearRect(left, top, width, height); // a transparent photo hides what was there
  context.globalAlpha = share;
  context.drawImage(bitmap, left, top, width, height);
  context.globalAlpha = 1;
}

/** Whole where it is whole but for the rounding of floats. */
function snapped(length: number): number {
  const whole = Math.round(length);
  return Math.abs(length - whole) < 1e-3 ? whole : length;
}

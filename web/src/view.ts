/** Geometry: which part of a photo is seen, and which pixels are asked for. Nothing here draws. */

export interface Size {
  width: number;
  height: number;
}

/** Part of a canvas, device pixels. */
export interface Pane extends Size {
  left: number;
  top: number;
}

/** Where one looks: the point of the photo in the middle, and device pixels for each pixel of the result. */
export interface View {
  x: number;
  y: number;
  zoom: number | "fit";
}

/** Pixels of the result, or where `reduce` > 1 of the result of the photo shrunk by it. */
export interface Region extends Size {
  left: number;
  top: number;
  reduce: number;
}

/** A view laid on a pane: the photo's pixel (x, y) is drawn at left + x * density, top + y * density. */
export interface Placing {
  left: number;
  top: number;
  density: number;
}

const SMALLEST = 64; // times that the server shrinks a photo at most
const NEAREST = 16; // the largest zoom: a pixel is then seen as a square

/** The zoom at which a result of this size is wholly seen; small ones are not enlarged. */
export function fitting(pane: Size, result: Size): number {
  return Math.min(1, pane.width / result.width, pane.height / result.height);
}

export function zoomOf(view: View, pane: Size, result: Size): number {
  return view.zoom === "fit" ? fitting(pane, result) : view.zoom;
}

/** Lay a view on a pane; on whole device pixels, so that 100 % shows the result's own pixels. */
export function place(view: View, pane: Pane, photo: Size, scale: number): Placing {
  const density = zoomOf(view, pane, enlarged(photo, scale)) * scale;
  const along = (start: number, length: number, size: number, centre: number) => {
    const middle = size * density <= length ? size / 2 : centre;
    return start + Math.round(length / 2 - middle * density);
  };
  return {
    left: along(pane.left, pane.width, photo.width, view.x),
    top: along(pane.top, pane.height, photo.height, view.y),
    density,
  };
}

/** Keep the photo's edges from leaving the pane's edges, where the photo is larger than the pane. */
export function clamped(view: View, pane: Size, photo: Size, scale: number): View {
  const density = zoomOf(view, pane, enlarged(photo, scale)) * scale;
  const along = (centre: number, length: number, size: number) => {
    const half = length / 2 / density;
    return half * 2 >= size ? size / 2 : Math.min(Math.max(centre, half), size - half);
  };
  return {
    ...view,
    x: along(view.x, pane.width, photo.width),
    y: along(view.y, pane.height, photo.height),
  };
}

/** Change the zoom so that the point of the photo under a device pixel stays under it. */
export function zoomedAt(
  view: View, zoom: number, at: { x: number; y: number }, pane: Pane, photo: Size, scale: number,
): View {
  const before = place(view, pane, photo, scale);
  const result = enlarged(photo, scale);
  const least = Math.min(fitting(pane, result), 1);
  const wanted = Math.min(Math.max(zoom, least), NEAREST);
  const [x, y] = [(at.x - before.left) / before.density, (at.y - before.top) / before.density];
  const density = wanted * scale;
  const moved = {
    x: x - (at.x - pane.left - pane.width / 2) / density,
    y: y - (at.y - pane.top - pane.height / 2) / density,
    zoom: wanted === least ? ("fit" as const) : wanted,
  };
  return clamped(moved, pane, photo, scale);
}

/** The size of a result: each side rounded, as the engine does. */
export function enlarged(photo: Size, scale: number): Size {
  const [width, height] = [photo.width, photo.height].map((side) => Math.max(1, Math.floor(side * scale + 0.5))) as [number, number];
  return { width, height };
}

/** The size of a photo shrunk by a whole number: what is left over counts as a whole pixel. */
export function shrunk(photo: Size, reduce: number): Size {
  return { width: Math.ceil(photo.width / reduce), height: Math.ceil(photo.height / reduce) };
}

/** How much the photo is shrunk for a zoom: never drawn larger than 1.41 times, so that it stays sharp. */
export function reduction(zoom: number): number {
  return Math.min(SMALLEST, 2 ** Math.max(0, Math.round(Math.log2(1 / zoom))));
}

/** The pixels that a pane shows. */
export function regionOf(view: View, pane: Pane, photo: Size, scale: number): Region {
  const placing = place(view, pane, photo, scale);
  const reduce = reduction(placing.density / scale);
  const whole = enlarged(shrunk(photo, reduce), scale);
  const unit = (placing.density / scale) * reduce; // device pixels for each pixel of the region
  const span = (start: number, length: number, origin: number, size: number): [number, number] => {
    const first = Math.min(Math.max(Math.floor((start - origin) / unit), 0), size - 1);
    const last = Math.min(Math.max(Math.ceil((start + length - origin) / unit), first + 1), size);
    return [first, last - first];
  };
  const [left, width] = span(pane.left, pane.width, placing.left, whole.width);
  const [top, height] = span(pane.top, pane.height, placing.top, whole.height);
  return { left, top, width, height, reduce };
}

/** The middle of a region, of at most this size. */
export function middleOf(region: Region, size: Size): Region {
  const [width, height] = [Math.min(size.width, region.width), Math.min(size.height, region.height)];
  const left = region.left + Math.floor((region.width - width) / 2);
  const top = region.top + Math.floor((region.height - height) / 2);
  return { left, top, width, height, reduce: region.reduce };
}

/** A region of at most this size around a point of the photo, at 100 %. */
export function regionAround(x: number, y: number, size: Size, photo: Size, scale: number): Region {
  const whole = enlarged(photo, scale);
  const width = Math.min(size.width, whole.width);
  const height = Math.min(size.height, whole.height);
  const along = (centre: number, length: number, most: number) =>
    Math.min(Math.max(Math.round(centre * scale - length / 2), 0), most - length);
  return { left: along(x, width, whole.width), top: along(y, height, whole.height), width, height, reduce: 1 };
}

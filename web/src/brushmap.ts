/** The brush's map: a grey picture, white where the dial's level acts and black where the weakest does. */

import type { Size } from "./view";

/** A map of the whole photo, never changed once made. `grey` holds one byte for each of its pixels. */
export interface BrushMap extends Size {
  grey: Uint8Array;
}

export interface Stroke {
  from: { x: number; y: number };
  to: { x: number; y: number };
  radius: number;
  value: 0 | 255;
}

const LONGEST_SIDE = 1024;

/** A map of one value for a photo, at most 1024 pixels on a side. */
export function filled(photo: Size, value: 0 | 255): BrushMap {
  const shrink = Math.min(1, LONGEST_SIDE / Math.max(photo.width, photo.height));
  const width = Math.max(1, Math.round(photo.width * shrink));
  const height = Math.max(1, Math.round(photo.height * shrink));
  return { width, height, grey: new Uint8Array(width * height).fill(value) };
}

/** Paint in place along a line, with a soft edge; distances are in the map's pixels. */
export function paint(map: BrushMap, { from, to, radius, value }: Stroke): void {
  const inner = radius * 0.6;
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const squared = dx * dx + dy * dy;
  const clip = (number: number, most: number) => Math.min(Math.max(number, 0), most);
  const x1 = clip(Math.ceil(Math.max(from.x, to.x) + radius), map.width - 1);
  const y1 = clip(Math.ceil(Math.max(from.y, to.y) + radius), map.height - 1);
  for (let y = clip(Math.floor(Math.min(from.y, to.y) - radius), map.height); y <= y1; y++) {
    for (let x = clip(Math.floor(Math.min(from.x, to.x) - radius), map.width); x <= x1; x++) {
      const along = squared ? clip(((x - from.x) * dx + (y - from.y) * dy) / squared, 1) : 0;
      const distance = Math.hypot(x - from.x - along * dx, y - from.y - along * dy);
      const cover = clip((radius - distance) / Math.max(radius - inner, 0.5), 1);
      const index = y * map.width + x;
      const reached = value ? cover * 255 : 255 - cover * 255;
      const before = map.grey[index]!;
      map.grey[index] = value ? Math.max(before, reached) : Math.min(before, reached);
    }
  }
}

/** The map as an 8-bit grey PNG; a canvas would write colours. */
export async function encoded(map: BrushMap): Promise<Blob> {
  const rows = new Uint8Array((map.width + 1) * map.height); // each begins with filter 0
  for (let y = 0; y < map.height; y++) {
    rows.set(map.grey.subarray(y * map.width, (y + 1) * map.width), y * (map.width + 1) + 1);
  }
  const zlib = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, map.width);
  header.setUint32(4, map.height);
  header.setUint8(8, 8); // bits; grey, deflate, adaptive, not interlaced are all 0
  return new Blob([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", new Uint8Array(await new Response(zlib).arrayBuffer())),
    chunk("IEND", new Uint8Array(0)),
  ], { type: "image/png" });
}

function chunk(name: string, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let index = 0; index < 4; index++) bytes[4 + index] = name.charCodeAt(index);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, checksum(bytes.subarray(4, data.length + 8)));
  return bytes;
}

/** CRC-32 as PNG wants it. */
function checksum(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}

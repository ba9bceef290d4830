/** Which pixels to read and which to keep, so that tiles put together equal the whole; see run/tiles.py. */

/**
 * Cut one axis of a picture into tiles of nearly equal size.
 *
 * A window begins at a multiple of the stride. It reaches `halo` pixels beyond what is kept of it, but not
 * beyond the picture: the network itself mirrors the right and bottom edge to a multiple.
 */
export function spans(length, { size, halo, stride }) {
  const count = Math.ceil(length / roundUp(size, stride));
  const step = roundUp(Math.ceil(length / count), stride);
  const tiles = [];
  for (let start = 0; start < length; start += step) {
    const stop = Math.min(start + step, length);
    tiles.push({
      readStart: Math.floor(Math.max(0, start - halo) / stride) * stride,
      readStop: Math.min(length, roundUp(stop + halo, stride)),
      keepStart: start,
      keepStop: stop,
    });
  }
  return tiles;
}

/** All tiles of a picture, row by row, each as a span of columns `x` and of rows `y`. */
export function tilesOf(width, height, cut) {
  const columns = spans(width, cut);
  return spans(height, cut).flatMap((y) => columns.map((x) => ({ x, y })));
}

function roundUp(number, multiple) {
  return Math.ceil(number / multiple) * multiple;
}

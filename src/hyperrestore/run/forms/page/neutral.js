/** Neutral stays neutral: where a network sees nothing but R = G = B, its result is R = G = B; see run/neutral.py. */

/**
 * Average what the network added over the channels, wherever nothing coloured is seen.
 *
 * Both arrays are planes of red, green and blue, one after the other; `restored` is changed in place.
 */
export function removeTint(restored, image, { width, height, halo }) {
  const area = width * height;
  const coloured = sumsOfColoured(image, width, height);
  for (let y = 0; y < height; y++) {
    const [top, bottom] = [Math.max(0, y - halo), Math.min(height, y + halo + 1)];
    for (let x = 0; x < width; x++) {
      const [left, right] = [Math.max(0, x - halo), Math.min(width, x + halo + 1)];
      if (countWithin(coloured, width + 1, left, top, right, bottom)) continue;
      const at = y * width + x;
      const [red, green, blue] = [at, at + area, at + 2 * area];
      const mean = (restored[red] + restored[green] + restored[blue]) / 3;
      restored[red] = restored[green] = restored[blue] = mean; // the image is neutral here: all three are alike
    }
  }
}

/** How many coloured pixels lie above and to the left of every corner between pixels. */
function sumsOfColoured(image, width, height) {
  const area = width * height;
  const sums = new Int32Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y++) {
    let row = 0;
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (image[at] !== image[at + area] || image[at] !== image[at + 2 * area]) row++;
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  return sums;
}

function countWithin(sums, pitch, left, top, right, bottom) {
  return sums[bottom * pitch + right] - sums[top * pitch + right] - sums[bottom * pitch + left] + sums[top * pitch + left];
}

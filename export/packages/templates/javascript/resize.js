/**
 * The antialiased resize of Pillow 13, to the level: docs/images.md of edgedistill has it in words.
 *
 * Each output pixel is a weighted mean below a kernel that is as wide as the scale when shrinking, which canvases and
 * image views leave out. Weights are integers of 22 bits after the point; each pass rounds to 8 bits.
 */

const BITS = 22;
const HALF = 1 << (BITS - 1);

const KERNELS = {
  bilinear: { reach: 1, at: (x) => (x < 1 ? 1 - x : 0) },
  bicubic: {
    reach: 2,
    at: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0),
  },
};

/** For each of `wanted` pixels: the first source pixel, how many, and their weights. */
function weights(kernel, stored, start, end, wanted) {
  const from = Math.fround(start); // the box has 32 bits there
  const step = Math.fround(Math.fround(end) - from) / wanted;
  const spread = Math.max(step, 1);
  const reach = kernel.reach * spread;
  const most = Math.ceil(reach) * 2 + 1;
  const first = new Int32Array(wanted);
  const count = new Int32Array(wanted);
  const table = new Int32Array(wanted * most);
  const found = new Float64Array(most);
  for (let i = 0; i < wanted; i++) {
    const centre = from + (i + 0.5) * step;
    const low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(stored, Math.trunc(centre + reach + 0.5));
    let sum = 0;
    for (let j = low; j < high; j++) {
      found[j - low] = kernel.at(Math.abs((j - centre + 0.5) * (1 / spread)));
      sum += found[j - low];
    }
    for (let j = 0; j < high - low; j++) {
      const share = (sum === 0 ? found[j] : found[j] / sum) * 2 ** BITS;
      table[i * most + j] = Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    }
    first[i] = low;
    count[i] = high - low;
  }
  return { first, count, table, most };
}

function clipped(sum) {
  const level = sum >> BITS;
  return level < 0 ? 0 : level > 255 ? 255 : level;
}

/** Rows `top` to `bottom` of an RGB image become `wanted` pixels wide. */
function across(pixels, width, top, bottom, wanted, { first, count, table, most }) {
  const out = new Uint8Array((bottom - top) * wanted * 3);
  let place = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = 0; x < wanted; x++) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let source = (y * width + first[x]) * 3;
      for (let k = x * most, end = k + count[x]; k < end; k++, source += 3) {
        const weight = table[k];
        red += pixels[source] * weight;
        green += pixels[source + 1] * weight;
        blue += pixels[source + 2] * weight;
      }
      out[place++] = clipped(red);
      out[place++] = clipped(green);
      out[place++] = clipped(blue);
    }
  }
  return out;
}

/** An RGB image of rows of `width` pixels, whose first row is `top`, becomes `wanted` pixels high. */
function down(pixels, width, top, wanted, { first, count, table, most }) {
  const row = width * 3;
  const out = new Uint8Array(wanted * row);
  const sums = new Int32Array(row);
  for (let y = 0; y < wanted; y++) {
    sums.fill(HALF);
    for (let k = 0; k < count[y]; k++) {
      const weight = table[y * most + k];
      const source = (first[y] - top + k) * row;
      for (let x = 0; x < row; x++) sums[x] += pixels[source + x] * weight;
    }
    for (let x = 0; x < row; x++) out[y * row + x] = clipped(sums[x]);
  }
  return out;
}

/** The part of an image that `center_crop` keeps, as Pillow's `ImageOps.fit` has it; not rounded to pixels. */
function centre(width, height, wantedWidth, wantedHeight) {
  const ratio = width / height;
  const wanted = wantedWidth / wantedHeight;
  const keptWidth = ratio > wanted ? wanted * height : width;
  const keptHeight = ratio < wanted ? width / wanted : height;
  const left = (width - keptWidth) * 0.5;
  const top = (height - keptHeight) * 0.5;
  return [left, top, left + keptWidth, top + keptHeight];
}

/**
 * @param {{width: number, height: number, data: Uint8Array}} image RGB, 3 bytes a pixel
 * @param {{size: [number, number], resize: string, interpolation: string}} preprocessing the manifest's; size is
 *   [height, width]
 * @returns {Uint8Array} RGB of height * width * 3 bytes
 */
export function resize({ width, height, data }, { size: [wantedHeight, wantedWidth], resize: how, interpolation }) {
  if (width === wantedWidth && height === wantedHeight) return data;
  const kernel = KERNELS[interpolation];
  const box = how === "center_crop" ? centre(width, height, wantedWidth, wantedHeight) : [0, 0, width, height];
  const changesWidth = width !== wantedWidth || box[0] !== 0 || box[2] !== wantedWidth;
  const changesHeight = height !== wantedHeight || box[1] !== 0 || box[3] !== wantedHeight;
  const columns = weights(kernel, width, box[0], box[2], wantedWidth);
  const rows = weights(kernel, height, box[1], box[3], wantedHeight);
  // Pillow 13 takes tall images down first.
  if (height > wantedHeight && height - wantedHeight > 2 * (width - wantedWidth)) {
    const flat = changesHeight ? down(data, width, 0, wantedHeight, rows) : data;
    return changesWidth ? across(flat, width, 0, wantedHeight, wantedWidth, columns) : flat;
  }
  const last = wantedHeight - 1;
  const [top, bottom] = changesHeight ? [rows.first[0], rows.first[last] + rows.count[last]] : [0, height];
  const narrow = changesWidth ? across(data, width, top, bottom, wantedWidth, columns) : data;
  if (!changesHeight) return narrow;
  return down(narrow, wantedWidth, changesWidth ? top : 0, wantedHeight, rows);
}

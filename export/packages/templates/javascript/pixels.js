/** Decoded pixels of any kind to RGB: grey is spread, transparency is composited on white (docs/images.md). */
import { EdgedistillError } from "./errors.js";

const BACKGROUND = 255;

/**
 * @param {{width: number, height: number, data: ArrayLike<number>, channels?: number}} image 8-bit levels, row by row:
 *   1 grey, 2 grey and alpha, 3 RGB, or 4 RGBA; alpha is not multiplied in
 * @returns {{width: number, height: number, data: Uint8Array}} RGB
 */
export function toRgb(image) {
  const { width, height, data } = image;
  const pixels = width * height;
  const channels = image.channels ?? (pixels > 0 ? data.length / pixels : 0);
  if (!(pixels > 0) || ![1, 2, 3, 4].includes(channels) || data.length !== pixels * channels) {
    throw new EdgedistillError(
      `the image: ${width} x ${height} pixels do not go with ${data?.length} values; give 1, 2, 3 or 4 for each pixel.`,
    );
  }
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new EdgedistillError("the image: its pixels are not 8-bit levels: give a Uint8Array of 0 to 255.");
  }
  if (channels === 3) return { width, height, data };
  const rgb = new Uint8Array(pixels * 3);
  const colours = channels > 2 ? 3 : 1;
  const hasAlpha = channels % 2 === 0;
  for (let source = 0, place = 0; source < data.length; source += channels) {
    const alpha = hasAlpha ? data[source + channels - 1] : 255;
    for (let colour = 0; colour < 3; colour++) {
      const level = data[source + (colours === 3 ? colour : 0)];
      rgb[place++] = alpha === 255 ? level : Math.floor((level * alpha + BACKGROUND * (255 - alpha) + 127) / 255);
    }
  }
  return { width, height, data: rgb };
}

/** Whether a value is decoded pixels rather than something yet to be decoded. */
export function isPixels(image) {
  return image !== null && typeof image === "object" && "data" in image && "width" in image && "height" in image;
}

/**
 * The graph's input for resized images.
 *
 * @param {Uint8Array[]} images RGB of height * width * 3 bytes each
 * @param {{size: [number, number], mean: number[], std: number[]}} preprocessing the manifest's
 * @param {string} input "uint8_nhwc", or "float32_nchw" for a graph without normalisation
 * @returns {{type: string, data: Uint8Array | Float32Array, dims: number[]}}
 */
export function toTensor(images, { size: [height, width], mean, std }, input) {
  const area = height * width;
  if (input === "uint8_nhwc") {
    const data = new Uint8Array(images.length * area * 3);
    images.forEach((image, i) => data.set(image, i * area * 3));
    return { type: "uint8", data, dims: [images.length, height, width, 3] };
  }
  const f = Math.fround; // numpy computes in float32
  const scale = std.map((value) => f(1 / f(255 * f(value))));
  const shift = mean.map((value, i) => f(f(value) / f(std[i])));
  const data = new Float32Array(images.length * area * 3);
  images.forEach((image, i) => {
    for (let colour = 0; colour < 3; colour++) {
      const place = (i * 3 + colour) * area;
      for (let p = 0; p < area; p++) data[place + p] = f(f(image[p * 3 + colour] * scale[colour]) - shift[colour]);
    }
  });
  return { type: "float32", data, dims: [images.length, 3, height, width] };
}

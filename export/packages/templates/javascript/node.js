/** A bundle of edgedistill in Node.js: `const [prediction] = await (await load(folder)).predict("photo.jpg")`. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { ABSENT, EdgedistillError, words } from "./errors.js";
import { MANIFEST, openBundle as openWith } from "./files.js";
import { load as loadWith } from "./model.js";

export { EdgedistillError } from "./errors.js";
export { Bundle } from "./files.js";
export { chooseArtifact, runnableArtifacts, SCHEMA_VERSION } from "./manifest.js";
export { Model } from "./model.js";
export { toRgb, toTensor } from "./pixels.js";
export { resize } from "./resize.js";
export { Prediction } from "./scores.js";

const MAX_PIXELS = 178_956_970; // as Pillow's

/** Open a bundle's folder, or one at an http(s) address. */
export function openBundle(place, read) {
  return isRemote(place) ? openWith(place, read) : openWith(folderOf(place), read ?? reader(folderOf(place)));
}

/** `load` of model.js from a folder, with onnxruntime-node and sharp unless others are given. */
export async function load(place, { read, ...options } = {}) {
  const bundle = typeof place === "string" || place instanceof URL ? await openBundle(place, read) : place;
  const ort = options.ort ?? (await import("onnxruntime-node"));
  return loadWith(bundle, { decode, ...options, ort });
}

function isRemote(place) {
  return /^https?:/.test(String(place));
}

function folderOf(place) {
  return place instanceof URL ? fileURLToPath(place) : place;
}

/**
 * Decode an image with sharp (libvips): turned upright, without regard to colour profiles.
 *
 * @param {string | URL | Uint8Array | ArrayBuffer} image a path, or an encoded image
 */
export async function decode(image) {
  const isPath = typeof image === "string" || image instanceof URL;
  const name = isPath ? String(image) : "the image";
  const { default: sharp } = await import("sharp");
  try {
    const bytes = isPath ? await readFile(image) : image;
    const opened = sharp(bytes, { failOn: "truncated", ignoreIcc: true, limitInputPixels: MAX_PIXELS, pages: 1 });
    const { depth, space } = await opened.metadata();
    if (!["uchar", "ushort"].includes(depth))
      throw new Error(`pixels of ${depth} are not read: convert it to 8 or 16 bits`);
    const isCmyk = space === "cmyk";
    const upright = isCmyk ? opened.autoOrient().pipelineColourspace("cmyk") : opened.autoOrient();
    const levels = upright.toColourspace(isCmyk ? "cmyk" : "srgb").raw({ depth: "uchar" });
    const { data, info } = await levels.toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return isCmyk
      ? { width, height, channels: 3, data: fromCmyk(data) }
      : { width, height, channels, data: new Uint8Array(data) };
  } catch (error) {
    throw new EdgedistillError(`${name}: cannot be decoded (${words(error)}). Replace or remove the file.`, {
      cause: error,
    });
  }
}

/** As Pillow does: each ink takes its share of the light that black leaves. */
function fromCmyk(data) {
  const rgb = new Uint8Array((data.length / 4) * 3);
  for (let source = 0, place = 0; source < data.length; source += 4) {
    const light = 255 - data[source + 3];
    for (let ink = 0; ink < 3; ink++) rgb[place++] = Math.round(((255 - data[source + ink]) * light) / 255);
  }
  return rgb;
}

function reader(folder) {
  return async (path) => {
    try {
      return new Uint8Array(await readFile(join(folder, path)));
    } catch (error) {
      const isAbsent = error.code === "ENOENT" && path !== MANIFEST;
      const wayOut = isAbsent ? ABSENT : "Give the folder of a bundle; a .zip must be unpacked first.";
      throw new EdgedistillError(`${join(folder, path)}: cannot be read (${words(error)}). ${wayOut}`, { cause: error });
    }
  };
}

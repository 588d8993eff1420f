/** A bundle of edgedistill in a browser: `const [prediction] = await (await load(url, { ort })).predict(photo)`. */
import { decode } from "./decode.js";
import { load as loadWith } from "./model.js";

export { decode } from "./decode.js";
export { EdgedistillError } from "./errors.js";
export { Bundle, openBundle } from "./files.js";
export { chooseArtifact, runnableArtifacts, SCHEMA_VERSION } from "./manifest.js";
export { Model } from "./model.js";
export { toRgb, toTensor } from "./pixels.js";
export { resize } from "./resize.js";
export { Prediction } from "./scores.js";

/** `load` of model.js with the browser's own decoder. */
export function load(place, options) {
  return loadWith(place, { decode, ...options });
}

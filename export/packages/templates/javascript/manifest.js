/** manifest.json, read and checked before anything of it is used. */
import { EdgedistillError } from "./errors.js";

export const SCHEMA_VERSION = 1;
const BACKEND = "onnxruntime";
const FORMATS = ["onnx", "ort"];

/** The manifest of `bytes`; `where` is what messages call it. */
export function parseManifest(bytes, where) {
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new EdgedistillError(`${where}: damaged or truncated (${error.message}). Copy the bundle again.`);
  }
  const version = manifest?.schema_version;
  if (Number.isInteger(version) && version > SCHEMA_VERSION) {
    throw new EdgedistillError(
      `${where}: schema ${version} is newer than this module reads (${SCHEMA_VERSION}): make the app again with a newer ` +
        "edgedistill.",
    );
  }
  const exists = Number.isInteger(version) && version >= 1;
  const problem = exists ? problemOf(manifest) : `schema ${JSON.stringify(version)} does not exist`;
  if (problem) throw new EdgedistillError(`${where}: ${problem}. Export or copy the bundle again.`);
  return manifest;
}

/** The artifacts that onnxruntime's JavaScript packages run, in the manifest's order. */
export function runnableArtifacts(manifest) {
  return manifest.artifacts.filter(
    (one) =>
      one.target?.backend === BACKEND &&
      one.status !== "failed" &&
      one.files.length > 0 &&
      FORMATS.includes(one.format || one.files[0].path.split(".").pop()),
  );
}

/** An artifact by name, or the first that runs here. */
export function chooseArtifact(manifest, name) {
  const runnable = runnableArtifacts(manifest);
  const found = name === undefined ? runnable[0] : runnable.find((one) => one.name === name);
  if (found) return found;
  const listed = runnable.map((one) => one.name).join(", ") || "none";
  throw new EdgedistillError(
    `${manifest.name}: ${name === undefined ? "no artifact" : `no artifact "${name}"`} that onnxruntime runs here; ` +
      `there are: ${listed}.`,
  );
}

/** The first thing that is wrong, in words; empty when nothing is. */
function problemOf(manifest) {
  const { classes, thresholds, preprocessing, input, artifacts, selftest = [] } = manifest;
  if (!isList(classes, (name) => typeof name === "string" && name.trim()) || !classes.length)
    return "`classes` is no list of names";
  const isThresholds = (values) =>
    isList(values, (value) => value >= 0 && value <= 1) && values.length === classes.length;
  if (!isThresholds(thresholds)) return `\`thresholds\` are not ${classes.length} numbers within 0 and 1`;
  if (!["uint8_nhwc", "float32_nchw"].includes(input)) return `\`input\` ${JSON.stringify(input)} is not known`;
  const wrong = preprocessingProblem(preprocessing);
  if (wrong) return `\`preprocessing\`: ${wrong}`;
  if (!isList(manifest.inputs, (spec) => typeof spec?.name === "string") || manifest.inputs.length !== 1)
    return "`inputs` is not one tensor";
  const outputs = isList(manifest.outputs, (spec) => typeof spec?.name === "string") ? manifest.outputs : [];
  for (const name of ["logits", "probabilities"])
    if (!outputs.some((spec) => spec.name === name)) return `\`outputs\` lacks "${name}"`;
  if (!isList(artifacts, (one) => typeof one?.name === "string" && isList(one.files, isFile)))
    return "`artifacts` is damaged, or names a file outside of the bundle";
  for (const { name, target, operating_point: point } of artifacts) {
    const { min = 1, max = 32 } = target?.batch ?? {};
    const isRange = Number.isInteger(min) && Number.isInteger(max) && 1 <= min && min <= max;
    if (!isRange) return `the batch of ${name} is damaged`;
    if (point && !(isThresholds(point.thresholds) && point.temperature > 0))
      return `the operating point of ${name} is damaged`;
  }
  const isGolden = (one) =>
    isFile(one?.file) && isList(one.logits, Number.isFinite) && one.logits.length === classes.length;
  return isList(selftest, isGolden) ? "" : "`selftest` is damaged, or names a file outside of the bundle";
}

function preprocessingProblem(preprocessing) {
  const { size, resize, interpolation, mean, std } = preprocessing ?? {};
  if (!isList(size, (side) => Number.isInteger(side) && side > 0 && side <= 16384) || size.length !== 2)
    return "no `size`";
  if (!["squash", "center_crop"].includes(resize)) return `resize ${JSON.stringify(resize)} is not known`;
  if (!["bilinear", "bicubic"].includes(interpolation))
    return `interpolation ${JSON.stringify(interpolation)} is not known`;
  if (!isList(mean, Number.isFinite) || mean.length !== 3) return "`mean` is not three numbers";
  return isList(std, (value) => value > 0) && std.length === 3 ? "" : "`std` is not three numbers above 0";
}

function isList(value, holds) {
  return Array.isArray(value) && value.every(holds);
}

/** A listed file stays inside the bundle. */
function isFile(entry) {
  const path = entry?.path;
  const inside =
    typeof path === "string" && !/[\\:]/.test(path) && path.split("/").every((part) => !["", ".", ".."].includes(part));
  return inside && /^[0-9a-f]{64}$/.test(entry.sha256) && Number.isInteger(entry.bytes) && entry.bytes >= 0;
}

/** A loaded artifact: images in, labels out. */
import { EdgedistillError, words } from "./errors.js";
import { openBundle } from "./files.js";
import { chooseArtifact } from "./manifest.js";
import { isPixels, toRgb, toTensor } from "./pixels.js";
import { resize } from "./resize.js";
import { Prediction, probabilitiesOf } from "./scores.js";
import { selftest } from "./selftest.js";

/** A loaded artifact; `release` it when it is no longer needed. */
export class Model {
  #underWay = new Set();
  #isReleased = false;

  constructor(bundle, artifact, session, ort, decode) {
    this.bundle = bundle;
    this.manifest = bundle.manifest;
    this.artifact = artifact;
    this.session = session;
    this.ort = ort;
    this.decode = decode;
  }

  /** C names in the order of every score. */
  get classes() {
    return this.manifest.classes;
  }

  /** The probability from which each class's label is reported: the artifact's own, or the bundle's. */
  get thresholds() {
    return this.artifact.operating_point?.thresholds ?? this.manifest.thresholds;
  }

  /** Label one image or a list of them: one `Prediction` each, in order. */
  async predict(images) {
    const rows = await this.scores(images);
    return rows.map((row) => new Prediction(this.classes, row, this.thresholds));
  }

  /** What `infer` gave for one image, as a `Prediction`. */
  predictionOf({ logits, probabilities }) {
    return new Prediction(this.classes, probabilitiesOf(this.artifact, logits, probabilities), this.thresholds);
  }

  /** Probabilities of one image or a list of them: a Float32Array of C each, in order. */
  async scores(images) {
    const inputs = [];
    for (const image of Array.isArray(images) ? images : [images]) inputs.push(await this.prepare(image));
    const outputs = await this.infer(inputs);
    return outputs.map(({ logits, probabilities }) => probabilitiesOf(this.artifact, logits, probabilities));
  }

  /** Decode and resize: the graph's pixels, RGB of height * width * 3 bytes. */
  async prepare(image) {
    return resize(toRgb(isPixels(image) ? image : await this.decode(image)), this.manifest.preprocessing);
  }

  /** Run prepared images: the graph's logits and probabilities, at temperature 1, a Float32Array of C each. */
  async infer(inputs) {
    if (this.#isReleased) throw new EdgedistillError(`${this.artifact.name}: was released: load it anew.`);
    const work = this.#inBatches(inputs);
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  /** Run the bundle's own photographs and compare with the training framework's logits. */
  selftest() {
    return selftest(this);
  }

  /** Free what the session holds, once what it computes is done. */
  async release() {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await Promise.allSettled(this.#underWay);
    await this.session.release();
  }

  async #inBatches(inputs) {
    const most = this.artifact.target.batch?.max ?? inputs.length;
    const found = [];
    for (let start = 0; start < inputs.length; start += most)
      found.push(...(await this.#run(inputs.slice(start, start + most))));
    return found;
  }

  async #run(inputs) {
    const least = this.artifact.target.batch?.min ?? 1;
    const filled = [...inputs];
    while (filled.length < least) filled.push(inputs[inputs.length - 1]);
    const { type, data, dims } = toTensor(filled, this.manifest.preprocessing, this.manifest.input);
    const fed = { [this.manifest.inputs[0].name]: new this.ort.Tensor(type, data, dims) };
    let outputs;
    try {
      outputs = await this.session.run(fed, ["logits", "probabilities"]);
    } catch (error) {
      throw new EdgedistillError(`${this.artifact.name}: onnxruntime gave up: ${words(error)}`, { cause: error });
    }
    const count = this.classes.length;
    const row = (name, i) => outputs[name].data.slice(i * count, (i + 1) * count);
    return inputs.map((_, i) => ({ logits: row("logits", i), probabilities: row("probabilities", i) }));
  }
}

/**
 * Load an artifact of a bundle.
 *
 * @param {string | URL | import("./files.js").Bundle} place the bundle's folder, or a bundle that is open
 * @param {object} options see index.d.ts
 */
export async function load(place, { artifact, ort, decode, providers, sessionOptions = {}, read } = {}) {
  if (!ort?.InferenceSession) {
    throw new EdgedistillError("load: give `ort`, the module onnxruntime-web or onnxruntime-node.");
  }
  const bundle = typeof place === "string" || place instanceof URL ? await openBundle(place, read) : place;
  const chosen = chooseArtifact(bundle.manifest, artifact);
  const [main, ...others] = chosen.files;
  const options = { ...sessionOptions, ...(providers ? { executionProviders: providers } : {}) };
  if (others.length) options.externalData = await externalData(bundle, main, others);
  const data = await bundle.read(main);
  try {
    const session = await ort.InferenceSession.create(data, options);
    return new Model(bundle, chosen, session, ort, decode ?? noDecoder);
  } catch (error) {
    throw new EdgedistillError(`${main.path}: onnxruntime cannot load it: ${words(error)}`, { cause: error });
  }
}

/** Weights beside the graph, by the names that the graph has for them. */
async function externalData(bundle, main, others) {
  const folder = main.path
    .split("/")
    .slice(0, -1)
    .map((part) => `${part}/`)
    .join("");
  const found = [];
  for (const entry of others) {
    if (!entry.path.startsWith(folder)) {
      throw new EdgedistillError(`${entry.path}: weights must lie beside ${main.path}. Export the bundle again.`);
    }
    found.push({ path: entry.path.slice(folder.length), data: await bundle.read(entry) });
  }
  return found;
}

function noDecoder() {
  throw new EdgedistillError("the image: give decoded pixels {width, height, data}, or `decode` to `load`.");
}

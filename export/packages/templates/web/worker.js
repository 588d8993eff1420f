// The model's worker: it decodes, resizes and computes, so that the page stays quick. One artifact on one provider.
import { words } from "./edgedistill/errors.js";
import { load, openBundle } from "./edgedistill/index.js";

const BUILDS = { wasm: "./ort/ort.wasm.min.mjs", webgpu: "./ort/ort.webgpu.min.mjs" };
let model;

const operations = {
  async load({ artifact, provider, threads }) {
    const ort = await import(BUILDS[provider]);
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
    if (!self.crossOriginIsolated) ort.env.wasm.numThreads = 1;
    else if (threads > 0) ort.env.wasm.numThreads = threads;
    const started = performance.now();
    const bundle = await openBundle(new URL("./bundle", import.meta.url));
    model = await load(bundle, { artifact, ort, providers: [provider] });
    const blank = new Uint8Array(model.manifest.preprocessing.size[0] * model.manifest.preprocessing.size[1] * 3);
    await model.infer([blank]);
    return { milliseconds: performance.now() - started, threads: ort.env.wasm.numThreads || 1 };
  },

  async predict({ image }) {
    try {
      const started = performance.now();
      const input = await model.prepare(image);
      const prepared = performance.now();
      const [outputs] = await model.infer([input]);
      const done = performance.now();
      const { classes, probabilities, thresholds } = model.predictionOf(outputs);
      return { classes, probabilities, thresholds, prepare: prepared - started, infer: done - prepared };
    } finally {
      if (image instanceof ImageBitmap) image.close();
    }
  },

  selftest: () => model.selftest(),

  async bench({ seconds }) {
    const { size } = model.manifest.preprocessing;
    const input = Uint8Array.from({ length: size[0] * size[1] * 3 }, () => Math.random() * 256);
    const times = [];
    for (const end = performance.now() + seconds * 1000; times.length < 5 || performance.now() < end;) {
      const started = performance.now();
      await model.infer([input]);
      times.push(performance.now() - started);
    }
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.ceil(share * times.length) - 1)];
    return { count: times.length, p50: at(0.5), p90: at(0.9) };
  },
};

self.onmessage = async ({ data: { id, operation, given } }) => {
  try {
    self.postMessage({ id, result: await operations[operation](given) });
  } catch (error) {
    self.postMessage({ id, error: words(error) });
  }
};

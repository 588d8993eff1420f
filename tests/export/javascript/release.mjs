// A model that is released while it computes, over a runtime that only takes its time. Arguments: the module's folder, a
// bundle. Prints what happened, in order.
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const [module, bundle] = process.argv.slice(2);
const { load } = await import(pathToFileURL(`${module}/node.js`));
const happened = [];
const session = {
  async run() {
    await sleep(30);
    happened.push("computed");
    const outputs = { data: new Float32Array(4) };
    return { logits: outputs, probabilities: outputs };
  },
  release: async () => happened.push("freed"),
};
const ort = { InferenceSession: { create: async () => session }, Tensor: class {} };
const model = await load(bundle, { ort, artifact: "ort-fp32" });
const work = model.infer(Array.from({ length: 6 }, () => new Uint8Array(16 * 16 * 3))); // two batches
await Promise.all([model.release(), model.release()]);
happened.push((await work).length);
await model
  .predict({ width: 1, height: 1, data: new Uint8Array(3) })
  .catch((error) => happened.push(`${error.name}: ${error.message}`));
console.log(JSON.stringify(happened));

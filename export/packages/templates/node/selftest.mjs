// node selftest.mjs      do the bundle's own photographs give the training framework's outputs here?
import { openBundle, load, runnableArtifacts } from "./edgedistill/node.js";

let failed = false;
try {
  const bundle = await openBundle(new URL("./bundle", import.meta.url));
  for (const { name } of runnableArtifacts(bundle.manifest).filter(({ name }) => [{{artifacts:raw}}].includes(name))) {
    const model = await load(bundle, { artifact: name });
    const { passed, tolerance, images } = await model.selftest();
    const largest = Math.max(...images.map((image) => image.largest));
    console.log(`${name}: ${passed ? "passed" : "FAILED"}: largest difference ${largest.toPrecision(2)} of ${tolerance.toPrecision(2)} allowed`);
    failed ||= !passed;
    await model.release();
  }
} catch (error) {
  console.error(`error: ${error.message}`);
  failed = true;
}
process.exitCode = failed ? 1 : 0;

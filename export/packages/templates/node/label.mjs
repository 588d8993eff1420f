// node label.mjs photo.jpg ...      the labels of each photograph, with their probabilities
import { load } from "./edgedistill/node.js";

const photographs = process.argv.slice(2);
if (photographs.length === 0) {
  console.error("usage: node label.mjs photo.jpg ...");
  process.exit(2);
}
try {
  const model = await load(new URL("./bundle", import.meta.url), { artifact: "{{artifact}}" });
  for (const photograph of photographs) {
    const [prediction] = await model.predict(photograph);
    console.log(JSON.stringify({ image: photograph, labels: prediction.labels }));
  }
  await model.release();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}

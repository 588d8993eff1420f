// Scores of files by the package in a folder, one JSON object per file. Arguments: the folder, an artifact, files.
import { pathToFileURL } from "node:url";

const [folder, artifact, ...files] = process.argv.slice(2);
const { load } = await import(pathToFileURL(`${folder}/edgedistill/node.js`));
const model = await load(`${folder}/bundle`, { artifact });
for (const file of files) {
  const [prediction] = await model.predict(file);
  console.log(JSON.stringify({ labels: prediction.labels, probabilities: Array.from(prediction.probabilities) }));
}
const many = await model.predict(files);
if (many.length !== files.length) throw new Error("a prediction is missing");
await model.release();

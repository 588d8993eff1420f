// Decodes the images of a folder: a JSON object with, by name, {width, height, rgb (base64)} or {error}.
import { readdirSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, folder] = process.argv.slice(2);
const { decode, toRgb } = await import(pathToFileURL(`${module}/node.js`));
const found = {};
for (const name of readdirSync(folder)) {
  if (name.endsWith(".py") || name.endsWith(".json")) continue;
  try {
    const { width, height, data } = toRgb(await decode(`${folder}/${name}`));
    found[name] = { width, height, rgb: Buffer.from(data).toString("base64") };
  } catch (error) {
    found[name] = { error: `${error.name}: ${error.message}` };
  }
}
console.log(JSON.stringify(found));

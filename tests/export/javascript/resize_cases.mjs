// Resizes many images in one process. Arguments: the module's folder, a folder with cases.json and in.bin; writes out.bin.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, folder] = process.argv.slice(2);
const { toRgb } = await import(pathToFileURL(`${module}/pixels.js`));
const { resize } = await import(pathToFileURL(`${module}/resize.js`));
const pixels = new Uint8Array(readFileSync(`${folder}/in.bin`));
const found = [];
let place = 0;
for (const { width, height, channels, ...preprocessing } of JSON.parse(readFileSync(`${folder}/cases.json`))) {
  const data = pixels.subarray(place, (place += width * height * channels));
  found.push(resize(toRgb({ width, height, channels, data }), preprocessing));
}
writeFileSync(`${folder}/out.bin`, Buffer.concat(found));

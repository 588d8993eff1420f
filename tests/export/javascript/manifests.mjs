// What is said of manifests. Arguments: the module's folder, a file with a list of them. Prints null where nothing is wrong.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, cases] = process.argv.slice(2);
const { parseManifest } = await import(pathToFileURL(`${module}/manifest.js`));
const said = (manifest) => {
  try {
    parseManifest(new TextEncoder().encode(JSON.stringify(manifest)), "here");
    return null;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
console.log(JSON.stringify(JSON.parse(readFileSync(cases)).map(said)));

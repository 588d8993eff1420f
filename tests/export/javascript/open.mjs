// What is said where no bundle is. Arguments: the module's folder, a place.
import { pathToFileURL } from "node:url";

const [module, place] = process.argv.slice(2);
const { openBundle } = await import(pathToFileURL(`${module}/node.js`));
await openBundle(place).catch((error) => console.log(`${error.name}: ${error.message}`));

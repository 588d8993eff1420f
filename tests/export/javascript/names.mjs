// What a module of that path exports.
import { pathToFileURL } from "node:url";

console.log(JSON.stringify(Object.keys(await import(pathToFileURL(process.argv[2])))));

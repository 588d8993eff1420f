// classifier.ts of a generated app in Node.js, with stand-ins for what is a phone's. Arguments: the app's folder, a copy to
// write, node_modules, photographs. Prints what it labels them, the self-test, and how another file is refused.
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [app, copy, modules, ...photographs] = process.argv.slice(2);
const require = createRequire(join(modules, "beside.js"));
const [ts, sharp] = [require("typescript"), require("sharp")];

const STANDINS = {
  "expo-asset": `export const Asset = { fromModule: (path) => ({ downloadAsync: async () => ({ localUri: path }) }) };`,
  "expo-crypto": `import { createHash } from "node:crypto";
    export const CryptoDigestAlgorithm = { SHA256: "SHA-256" };
    export const digest = async (name, data) => new Uint8Array(createHash("sha256").update(data).digest()).buffer;`,
  "expo-file-system": `import { readFile } from "node:fs/promises";
    export class File { constructor(path) { this.path = path; } async bytes() { return new Uint8Array(await readFile(this.path)); } }`,
  "onnxruntime-react-native": `import ort from "onnxruntime-node"; export const { InferenceSession, Tensor } = ort;`,
  // The codec is asked before the pixels, as Skia's is.
  "@shopify/react-native-skia": `import { Buffer } from "node:buffer";
    export const ColorType = { RGBA_8888: 4 }, AlphaType = { Unpremul: 3 };
    export const decoded = new Map();
    export const Skia = { Data: { fromBytes: (bytes) => bytes }, Image: { MakeImageFromEncoded: (bytes) => {
      const found = decoded.get(Buffer.from(bytes).toString("base64"));
      return found && { width: () => found.width, height: () => found.height, readPixels: () => found.data, dispose() {} };
    } } };`,
};

mkdirSync(join(copy, "node_modules"), { recursive: true });
for (const [name, text] of Object.entries(STANDINS)) {
  mkdirSync(join(copy, "node_modules", name), { recursive: true });
  writeFileSync(join(copy, "node_modules", name, "package.json"), '{"type": "module", "exports": "./index.js"}');
  writeFileSync(join(copy, "node_modules", name, "index.js"), text);
}
for (const name of ["onnxruntime-node", "onnxruntime-common"]) symlinkSync(join(modules, name), join(copy, "node_modules", name));
cpSync(join(app, "edgedistill"), join(copy, "edgedistill"), { recursive: true });
writeFileSync(join(copy, "package.json"), '{"type": "module"}');
for (const name of ["classifier", "files"]) {
  const options = { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } };
  const { outputText } = ts.transpileModule(readFileSync(join(app, `${name}.ts`), "utf8"), options);
  writeFileSync(join(copy, `${name}.js`), outputText.replace('from "./files"', 'from "./files.js"'));
}


globalThis.require = (path) => join(app, path); // Metro has one, for assets
Object.defineProperty(globalThis, "crypto", { value: undefined, writable: true }); // Hermes has none
const { openOwnBundle, ownArtifacts, loadOwn } = await import(pathToFileURL(join(copy, "classifier.js")));
const { FILES } = await import(pathToFileURL(join(copy, "files.js")));
const { decoded } = await import(pathToFileURL(join(copy, "node_modules/@shopify/react-native-skia/index.js")));

const bundle = await openOwnBundle();
for (const path of [...photographs, ...bundle.manifest.selftest.map(({ file }) => FILES[file.path])]) {
  const bytes = readFileSync(path);
  const { data, info } = await sharp(bytes, { ignoreIcc: true }).autoOrient().ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  decoded.set(bytes.toString("base64"), { width: info.width, height: info.height, data: new Uint8Array(data) });
}
const artifacts = ownArtifacts(bundle);
const model = await loadOwn(bundle, artifacts[0]);
const labels = [];
for (const path of photographs) labels.push((await model.predict(path))[0].labels);
const selftest = await model.selftest();

const [file] = model.artifact.files;
FILES[file.path] = join(copy, "altered");
const bytes = readFileSync(join(app, "assets/1.bin"));
bytes[bytes.length - 1] ^= 1;
writeFileSync(join(copy, "altered"), bytes);
const refused = [await said(() => loadOwn(bundle, artifacts[0])), await said(() => model.predict(join(copy, "altered")))];
delete FILES[file.path];
refused.push(await said(() => bundle.read(file)));
console.log(JSON.stringify({ artifacts, left: ownArtifacts(bundle), labels, selftest, refused }));

async function said(work) {
  try {
    await work();
    return "nothing";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

// What the self-test allows. Arguments: the module's folder, a file of cases [{precision, parity, logits}].
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, cases] = process.argv.slice(2);
const { tolerances } = await import(pathToFileURL(`${module}/selftest.js`));
const allowed = ({ precision, parity, logits }) => tolerances({ target: { precision }, parity }, logits);
console.log(JSON.stringify(JSON.parse(readFileSync(cases)).map(allowed)));

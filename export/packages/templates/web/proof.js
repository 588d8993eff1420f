// What is known of the model, the self-test and the benchmark.
import { Engine } from "./engine.js";
import { ms } from "./results.js";
import { words } from "./edgedistill/errors.js";

const SECONDS = 2;

/** Fill in what the manifest says. */
export function describe({ manifest }, artifacts) {
  const [height, width] = manifest.preprocessing.size;
  const { provenance = {} } = manifest;
  const facts = {
    Network: provenance.model,
    Input: `${height} × ${width} pixels, ${manifest.preprocessing.resize.replace("_", " ")}, ${manifest.preprocessing.interpolation}`,
    Exported: provenance.created && `${provenance.created.slice(0, 10)} by edgedistill ${provenance.edgedistill}`,
    Artifacts: artifacts
      .map((one) => `${one.name}, ${megabytes(sizeOf(one))}, ${one.status.replaceAll("_", " ")}`)
      .join("; "),
  };
  const list = document.getElementById("about");
  for (const [term, fact] of Object.entries(facts)) {
    if (!fact) continue;
    list.append(Object.assign(document.createElement("dt"), { textContent: term }));
    list.append(Object.assign(document.createElement("dd"), { textContent: fact }));
  }
  document.getElementById("classes").textContent = manifest.classes.join(", ");
}

/** Run the loaded artifact's self-test and show each photograph. */
export async function runSelftest(engine, place) {
  const report = await engine.call("selftest");
  const rows = report.images.map(({ file, largest, passed }) => [
    file.split("/").pop(),
    { number: largest.toExponential(1) },
    { verdict: passed },
  ]);
  place.replaceChildren(
    sentence(
      report.passed,
      report.passed ? "passed" : "failed",
      `: ${report.artifact}, whose logits may be ${report.tolerance.toPrecision(2)} off.`,
    ),
    table("Against the training framework's logits", ["photograph", "difference", "verdict"], rows),
  );
}

/** Measure every artifact on every provider, each in a worker of its own. */
export async function runBenchmark(artifacts, providers, names, place, say) {
  const rows = [];
  for (const artifact of artifacts) {
    for (const provider of providers) {
      say(`measuring ${artifact.name}`);
      rows.push([artifact.name, names[provider], ...(await measured(artifact, provider))]);
      place.replaceChildren(
        table(
          `Inference of single images, ${SECONDS} s each; decoding is not in it`,
          ["artifact", "on", "size", "p50", "p90"],
          rows,
        ),
      );
    }
  }
}

async function measured(artifact, provider) {
  const size = { number: megabytes(sizeOf(artifact)) };
  let engine;
  try {
    engine = await Engine.load(artifact.name, provider);
    const { p50, p90 } = await engine.call("bench", { seconds: SECONDS });
    return [size, { number: ms(p50) }, { number: ms(p90) }];
  } catch (error) {
    return [size, words(error), ""];
  } finally {
    engine?.stop();
  }
}

function sizeOf(artifact) {
  return artifact.files.reduce((sum, file) => sum + file.bytes, 0);
}

function megabytes(bytes) {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function sentence(good, word, rest) {
  const line = document.createElement("p");
  const verdict = Object.assign(document.createElement("span"), {
    textContent: word,
    className: good ? "good" : "bad",
  });
  line.append(verdict, rest);
  return line;
}

function table(caption, headings, rows) {
  const made = document.createElement("table");
  made.createCaption().textContent = caption;
  const head = made.createTHead().insertRow();
  headings.forEach((heading, i) => {
    const cell = Object.assign(document.createElement("th"), { textContent: heading, scope: "col" });
    if (rows[0]?.[i]?.number) cell.className = "number";
    head.append(cell);
  });
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const value of row) {
      const cell = line.insertCell();
      if (value.verdict !== undefined)
        Object.assign(cell, {
          textContent: value.verdict ? "passed" : "differs",
          className: value.verdict ? "good" : "bad",
        });
      else Object.assign(cell, { textContent: value.number ?? value, className: value.number ? "number" : "" });
    }
  }
  const box = Object.assign(document.createElement("div"), { className: "scroll" });
  box.append(made);
  return box;
}

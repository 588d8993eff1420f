// The page: which model runs, what is shown to it, and what it says.
import { words } from "./edgedistill/errors.js";
import { openBundle, runnableArtifacts } from "./edgedistill/index.js";
import { Camera } from "./camera.js";
import { Engine } from "./engine.js";
import { notice } from "./notices.js";
import { forget, prepareOffline } from "./offline.js";
import { photographs } from "./photographs.js";
import { clearPrediction, ms, showPrediction } from "./results.js";
import { describe, runBenchmark, runSelftest } from "./proof.js";

const element = (id) => document.getElementById(id);
const controls = ["file", "camera", "example", "artifact", "provider", "selftest", "bench"].map(element);
const names = { wasm: "CPU", webgpu: "GPU" };
const page = { engine: null, bundle: null, artifacts: [], photograph: null, address: "", examples: 0 };

let busy = true; // until `start` is done
let underWay;

function enable(on) {
  for (const control of controls) control.disabled = !on;
  busy = !on;
}

function say(text) {
  element("state").textContent = text;
}

function fail(error) {
  const text = words(error);
  const altered = /SHA-256|truncated|altered|damaged/.test(text);
  notice(text, altered ? { error: true, button: "Load all again", action: forget } : { error: true });
  say("error");
}

/** Do something with the controls off, after what is under way; an error is shown, not thrown. */
async function busily(text, action) {
  while (busy) await underWay;
  document.querySelectorAll(".notice.error").forEach((box) => box.remove());
  const focused = document.activeElement;
  enable(false);
  say(text);
  underWay = (async () => {
    try {
      await action();
      say(page.engine ? "ready" : "error");
    } catch (error) {
      fail(error);
    }
    enable(true);
    if (document.activeElement === document.body) focused?.focus();
  })();
  await underWay;
}

async function loadChosen() {
  page.engine?.stop();
  page.engine = null;
  const [artifact, provider] = [element("artifact").value, element("provider").value];
  element("loaded").textContent = `loading ${artifact}`;
  try {
    page.engine = await Engine.load(artifact, provider);
  } catch (error) {
    element("loaded").textContent = `${artifact} does not run on ${names[provider]}.`;
    throw error;
  }
  const { threads, milliseconds } = page.engine;
  const on = provider === "wasm" ? `${threads} ${threads === 1 ? "thread" : "threads"} with SIMD` : names[provider];
  element("loaded").textContent = `${artifact} on ${on}, loaded in ${ms(milliseconds)}.`;
  if (page.photograph && !camera.on) await label(page.photograph);
}

async function label(photograph) {
  const result = await page.engine.call("predict", { image: photograph });
  if (photograph === page.photograph && !camera.on) showPrediction(result);
}

function show(photograph) {
  URL.revokeObjectURL(page.address);
  page.photograph = photograph;
  page.address = URL.createObjectURL(photograph);
  element("photo").src = page.address;
  element("photo").alt = photograph.name ? `Photograph ${photograph.name}` : "Photograph";
  if (camera.on) camera.stop();
  else look();
}

/** Show the photograph, and what the model says of it. */
async function look() {
  const { photograph } = page;
  element("photo").hidden = false;
  element("empty").hidden = true;
  clearPrediction("Looking …");
  await busily("looking", async () => {
    if (photograph !== page.photograph) return; // another one came meanwhile
    try {
      if (!page.engine) throw new Error("no model is loaded: choose another artifact, or load the page again.");
      await label(photograph);
    } catch (error) {
      clearPrediction("No labels: see above.");
      throw error;
    }
  });
}

async function showExample() {
  const golden = page.bundle.manifest.selftest;
  const { file } = golden[page.examples++ % golden.length];
  show(new File([await page.bundle.read(file)], file.path.split("/").pop()));
}

const camera = new Camera({
  async onFrame(bitmap) {
    const { engine } = page;
    if (busy || !engine) return bitmap.close();
    try {
      const result = await engine.call("predict", { image: bitmap }, [bitmap]);
      if (camera.on) showPrediction(result, { quiet: true });
    } catch (error) {
      if (engine === page.engine) throw error; // else another artifact was chosen meanwhile
    }
  },
  onChange(on) {
    element("camera").setAttribute("aria-pressed", String(on));
    element("video").hidden = !on;
    element("photo").hidden = on || !page.photograph;
    element("empty").hidden = on || Boolean(page.photograph);
    if (!on && page.photograph) look();
    else clearPrediction(on ? "Looking …" : "No photograph yet.");
  },
  onError: fail,
});

function connect() {
  element("camera").addEventListener("click", () => camera.toggle(element("video")));
  element("example").addEventListener("click", () => showExample().catch(fail));
  for (const id of ["artifact", "provider"])
    element(id).addEventListener("change", () => busily("loading", loadChosen));
  element("selftest").addEventListener("click", () =>
    busily("testing", () => runSelftest(page.engine, element("proof"))),
  );
  element("bench").addEventListener("click", () => {
    const providers = [...element("provider").options].map((option) => option.value);
    camera.stop();
    busily("measuring", () => runBenchmark(page.artifacts, providers, names, element("proof"), say));
  });
}

async function start() {
  say("preparing");
  await prepareOffline();
  const included = await (await fetch("app.json", { cache: "no-cache" })).json();
  page.bundle = await openBundle(new URL("bundle", document.baseURI));
  const { manifest } = page.bundle;
  page.artifacts = runnableArtifacts(manifest).filter(({ name }) => included.artifacts.includes(name));
  const option = (value, text) => Object.assign(document.createElement("option"), { value, textContent: text });
  for (const one of page.artifacts)
    element("artifact").append(option(one.name, `${one.name} (${one.target.precision})`));
  element("provider").append(option("wasm", names.wasm));
  if (await navigator.gpu?.requestAdapter().catch(() => null))
    element("provider").append(option("webgpu", names.webgpu));
  element("example").hidden = !manifest.selftest?.length;
  element("selftest").hidden = element("example").hidden;
  describe(page.bundle, page.artifacts);
  connect();
  busy = false;
  await busily("loading", loadChosen);
}

photographs(element("frame"), element("file"), show);
underWay = start().catch((error) => {
  fail(error);
  return new Promise(() => {}); // nothing else begins
});

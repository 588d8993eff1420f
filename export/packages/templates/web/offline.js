// The service worker: it keeps the whole app for use without a network, and isolates the page so that threads work.
import { notice } from "./notices.js";

const TRIED = "edgedistill-isolated";
let registration;

/** Resolves when the page may start; reloads it once where that makes threads possible. */
export async function prepareOffline() {
  const container = navigator.serviceWorker;
  try {
    registration = await container.register("sw.js");
  } catch {
    return; // there is none, or the browser forbids it, e.g. in a private window: the app works without
  }
  // A page that was loaded anew with Shift is controlled by no worker, and never will be.
  const controlled = container.controller || (!registration.active && (await installed()));
  if (controlled && !self.crossOriginIsolated && !sessionStorage.getItem(TRIED)) {
    sessionStorage.setItem(TRIED, "1");
    location.reload();
    await new Promise(() => {});
  }
  offerUpdates();
}

/** Remove what this app keeps, and start anew. */
export async function forget() {
  await registration?.unregister();
  const kept = `edgedistill:${new URL("./", location)}:`;
  for (const name of (await self.caches?.keys()) ?? []) if (name.startsWith(kept)) await caches.delete(name);
  sessionStorage.removeItem(TRIED);
  location.reload();
}

/** Whether the first worker has come to control the page. */
async function installed() {
  const container = navigator.serviceWorker;
  const shown = notice("Keeping this app for use without a network.", { progress: true });
  const listen = ({ data }) => data?.progress !== undefined && shown.progress(data.progress);
  container.addEventListener("message", listen);
  const controlled = new Promise((resolve) =>
    container.addEventListener("controllerchange", () => resolve(true), { once: true }),
  );
  const installing = registration.installing ?? registration.waiting;
  const failed = new Promise((resolve) => {
    installing?.addEventListener("statechange", () => installing.state === "redundant" && resolve(false));
  });
  const done = container.controller ? true : await Promise.race([controlled, failed]);
  container.removeEventListener("message", listen);
  shown.remove();
  if (!done) notice("Not kept for use without a network: not every file arrived whole.");
  return done;
}

function offerUpdates() {
  let shown;
  const offer = () => {
    const action = () => registration.waiting?.postMessage("use");
    shown ??= notice("A new version of this app is ready.", { button: "Use it", action });
  };
  const watch = (worker) =>
    worker?.addEventListener("statechange", () => worker.state === "installed" && registration.active && offer());
  if (registration.waiting) offer();
  watch(registration.installing);
  registration.addEventListener("updatefound", () => watch(registration.installing));
  navigator.serviceWorker.addEventListener("controllerchange", () => shown && location.reload());
}

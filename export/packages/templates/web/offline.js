// The service worker: it keeps the whole app for use without a network, and isolates the page so that threads work.
import { notice } from "./notices.js";

const TRIED = "edgedistill-isolated";

/** Resolves when the page may start; reloads it once where that makes threads possible. */
export async function prepareOffline() {
  if (!("serviceWorker" in navigator)) return;
  const container = navigator.serviceWorker;
  let registration;
  try {
    registration = await container.register("sw.js");
  } catch {
    return; // a browser that forbids it, e.g. in a private window: the app works without
  }
  if (!container.controller && !(await installed(registration))) return;
  if (!self.crossOriginIsolated && !sessionStorage.getItem(TRIED)) {
    sessionStorage.setItem(TRIED, "1");
    location.reload();
    await new Promise(() => {});
  }
  offerUpdates(registration);
}

/** Remove everything that is kept, and start anew. */
export async function forget() {
  for (const registration of await navigator.serviceWorker.getRegistrations()) await registration.unregister();
  for (const name of await caches.keys()) if (name.startsWith("edgedistill:")) await caches.delete(name);
  sessionStorage.removeItem(TRIED);
  location.reload();
}

async function installed(registration) {
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
  return done;
}

function offerUpdates(registration) {
  const offer = () => {
    const shown = notice("A new version of this app is ready.", {
      button: "Use it",
      action: () => registration.waiting?.postMessage("use"),
    });
    navigator.serviceWorker.addEventListener("controllerchange", () => shown && location.reload(), { once: true });
  };
  if (registration.waiting) offer();
  registration.addEventListener("updatefound", () => {
    const { installing } = registration;
    installing.addEventListener("statechange", () => installing.state === "installed" && offer());
  });
}

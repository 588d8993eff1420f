// The service worker. It keeps the app, of which each version is kept whole, and gives every answer the headers that let
// WebAssembly use threads (COOP and COEP), so that any static host will do.
const SCOPE = new URL("./", self.location).href;
const PREFIX = `edgedistill:${SCOPE}:`; // other apps of this origin have their own
const CACHE = `${PREFIX}{{version}}`;
const FIRST = {{first:raw}}; // [path, bytes, integrity]: before the app starts
const LATER = {{later:raw}}; // when asked for
const TYPES = { mjs: "text/javascript", wasm: "application/wasm" }; // which not every host knows

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", ({ data }) => data === "use" && self.skipWaiting());
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(SCOPE)) event.respondWith(answer(request));
});

/** Fails, to be tried again, where a file is another version's: a folder is not copied to a host in a moment. */
async function install() {
  const cache = await caches.open(CACHE);
  const total = FIRST.reduce((sum, [, bytes]) => sum + bytes, 0);
  let done = 0;
  for (const [path, bytes, integrity] of FIRST) {
    await cache.add(new Request(path, { cache: "no-cache", integrity }));
    done += bytes;
    for (const client of await self.clients.matchAll({ includeUncontrolled: true }))
      client.postMessage({ progress: done / total });
  }
  if (!self.registration.active) await self.skipWaiting();
}

async function activate() {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
  await self.clients.claim();
}

async function answer(request) {
  const { origin, pathname } = new URL(request.url);
  const address = origin + pathname === SCOPE ? `${SCOPE}index.html` : origin + pathname;
  const kept = await caches.match(address, { cacheName: CACHE });
  if (kept) return isolated(kept, pathname);
  const later = LATER.find(([path]) => address === SCOPE + path);
  if (!later) return isolated(await fetch(request), pathname);
  const fetched = await fetch(address, { cache: "no-cache", integrity: later[2] });
  if (fetched.ok) await (await caches.open(CACHE)).put(address, fetched.clone());
  return isolated(fetched, pathname);
}

function isolated(response, pathname) {
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const type = TYPES[pathname.split(".").pop()];
  if (type && response.ok) headers.set("Content-Type", type);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

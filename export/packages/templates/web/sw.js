// The service worker. It keeps the app, of which each version is kept whole, and gives every answer the headers that let
// WebAssembly use threads (COOP and COEP), so that any static host will do.
const PREFIX = "edgedistill:{{package}}:";
const CACHE = `${PREFIX}{{version}}`;
const FIRST = {{first:raw}}; // [path, bytes]: before the app starts
const LATER = {{later:raw}}; // when asked for

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", ({ data }) => data === "use" && self.skipWaiting());
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(answer(request));
});

async function install() {
  const cache = await caches.open(CACHE);
  const total = FIRST.reduce((sum, [, bytes]) => sum + bytes, 0);
  let done = 0;
  for (const [path, bytes] of FIRST) {
    await cache.add(new Request(path, { cache: "no-cache" }));
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
  const cache = await caches.open(CACHE);
  const path = new URL(request.url).pathname.slice(new URL(self.registration.scope).pathname.length);
  const key = new URL(path || "index.html", self.registration.scope).href;
  const kept = await cache.match(key);
  if (kept) return isolated(kept);
  const fetched = await fetch(request);
  if (fetched.ok && LATER.some(([name]) => name === path)) await cache.put(key, fetched.clone());
  return isolated(fetched);
}

function isolated(response) {
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

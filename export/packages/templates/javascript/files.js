/** A bundle's files: none is used that is not what the manifest lists. */
import { ABSENT, EdgedistillError, words } from "./errors.js";
import { parseManifest } from "./manifest.js";

export const MANIFEST = "manifest.json";

/** A bundle somewhere: its manifest, and its files, each checked. */
export class Bundle {
  /**
   * @param {string} place what messages call it
   * @param {object} manifest parsed and checked
   * @param {(path: string) => Promise<Uint8Array>} read a file's bytes by its path in the bundle
   */
  constructor(place, manifest, read) {
    this.place = place;
    this.manifest = manifest;
    this.readUnchecked = read;
  }

  /** The bytes of a file that the manifest lists, after its size and its SHA-256 were found right. */
  async read({ path, sha256, bytes }) {
    const data = await this.readUnchecked(path);
    if (data.byteLength !== bytes) {
      throw new EdgedistillError(
        `${path}: has ${data.byteLength} bytes, the manifest lists ${bytes}: truncated or altered. Copy the bundle again.`,
      );
    }
    if ((await sha256Of(data)) !== sha256) {
      throw new EdgedistillError(`${path}: its SHA-256 differs from the manifest's: altered. Copy the bundle again.`);
    }
    return data;
  }
}

/**
 * Open a bundle.
 *
 * @param {string | URL} place its folder; in a browser relative to the page
 * @param {(path: string) => Promise<Uint8Array>} [read] in place of `fetch`
 */
export async function openBundle(place, read = fetcher(place)) {
  const bytes = await read(MANIFEST);
  return new Bundle(String(place), parseManifest(bytes, `${place}: ${MANIFEST}`), read);
}

function fetcher(place) {
  const base = new URL(`${String(place).replace(/\/+$/, "")}/`, globalThis.location?.href);
  return async (path) => {
    const address = new URL(path.split("/").map(encodeURIComponent).join("/"), base);
    let answer;
    try {
      answer = await fetch(address, { cache: "no-cache" }); // so that no kept file is mixed with newer ones
    } catch (error) {
      throw new EdgedistillError(`${address}: cannot be fetched (${words(error)}). Is there a network?`, {
        cause: error,
      });
    }
    if (!answer.ok) {
      const wayOut = answer.status !== 404 ? "" : path === MANIFEST ? " Give the folder of a bundle." : ` ${ABSENT}`;
      throw new EdgedistillError(`${address}: cannot be fetched (HTTP ${answer.status}).${wayOut}`);
    }
    return new Uint8Array(await answer.arrayBuffer());
  };
}

async function sha256Of(data) {
  const subtle = globalThis.crypto?.subtle;
  if (!subtle) {
    throw new EdgedistillError(
      "files cannot be checked here: browsers give WebCrypto to https:// and localhost alone. Serve the page over https.",
    );
  }
  const digest = new Uint8Array(await subtle.digest("SHA-256", data));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

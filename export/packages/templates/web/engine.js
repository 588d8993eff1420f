// A worker that holds one artifact on one provider; its calls are promises.
const THREADS = Number(new URLSearchParams(location.search).get("threads")); // ?threads=2, for comparisons

export class Engine {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => this.#fail(event.message || "the worker cannot be loaded");
  }

  /** Load an artifact by name on "wasm" or "webgpu". */
  static async load(artifact, provider) {
    const engine = new Engine();
    try {
      Object.assign(engine, await engine.call("load", { artifact, provider, threads: THREADS }), {
        artifact,
        provider,
      });
      return engine;
    } catch (error) {
      engine.stop();
      throw error;
    }
  }

  call(operation, given = {}, transfer = []) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(++this.#next, { resolve, reject });
      this.#worker.postMessage({ id: this.#next, operation, given }, transfer);
    });
  }

  stop() {
    this.#worker.terminate();
    this.#fail("stopped");
  }

  #fail(message) {
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }
}

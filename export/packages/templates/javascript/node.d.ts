import type { Bundle, LoadOptions, Model, Ort, Pixels } from "./index.js";

export * from "./index.js";

/** A path, an encoded image, or decoded pixels. */
export type Image = string | URL | Uint8Array | ArrayBuffer | Pixels;

/** Load an artifact from a bundle's folder, with onnxruntime-node and sharp unless others are given. */
export function load<Source = Image>(
  place: string | URL | Bundle,
  options?: Omit<LoadOptions<Source>, "ort"> & { ort?: Ort },
): Promise<Model<Source | Pixels>>;
/** Decode an image with sharp: upright, without regard to colour profiles. */
export function decode(image: string | URL | Uint8Array | ArrayBuffer): Promise<Pixels>;

/** What onnxruntime-web and onnxruntime-node have in common, as far as it is used here. */
export interface Ort {
  InferenceSession: { create(model: Uint8Array, options?: object): Promise<Session> };
  Tensor: new (type: any, data: any, dims: readonly number[]) => unknown;
}

export interface Session {
  run(feeds: any, fetches: any): Promise<any>;
  release(): Promise<void>;
}

/** 8-bit levels, row by row: 1 grey, 2 grey and alpha, 3 RGB, or 4 RGBA; alpha is not multiplied in. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8Array | Uint8ClampedArray;
  channels?: number;
}

/** An encoded image, what a canvas can draw, or decoded pixels. */
export type Image = Blob | ArrayBuffer | Uint8Array | ImageBitmapSource | Pixels;

export type Decoder<Source = Image> = (image: Source) => Promise<Pixels>;

export interface LoadOptions<Source = Image> {
  /** The module onnxruntime-web (or onnxruntime-web/webgpu) or onnxruntime-node. */
  ort: Ort;
  /** By name; by default the manifest's first that onnxruntime runs, which the folder must hold. */
  artifact?: string;
  /** In place of the browser's own decoder. */
  decode?: Decoder<Source>;
  /** onnxruntime's execution providers, e.g. ["webgpu", "wasm"]. */
  providers?: readonly string[];
  /** Further options of onnxruntime's `InferenceSession.create`. */
  sessionOptions?: object;
  /** In place of `fetch`: the bytes of a file by its path in the bundle. */
  read?: (path: string) => Promise<Uint8Array>;
}

export interface FileEntry {
  path: string;
  sha256: string;
  bytes: number;
}

export interface Artifact {
  name: string;
  target: { backend: string; precision: string; batch?: { min: number; typical: number; max: number } };
  files: FileEntry[];
  status: string;
  format?: string;
  parity?: { max_abs_logit: number; golden_mean_abs_logit?: number | null } | null;
  operating_point?: { thresholds: number[]; temperature: number } | null;
}

export interface Preprocessing {
  /** [height, width] in pixels. */
  size: [number, number];
  resize: "squash" | "center_crop";
  interpolation: "bilinear" | "bicubic";
  mean: [number, number, number];
  std: [number, number, number];
}

/** manifest.json, as docs/manifest.schema.json has it in full. */
export interface Manifest {
  schema_version: number;
  name: string;
  classes: string[];
  thresholds: number[];
  preprocessing: Preprocessing;
  input: "uint8_nhwc" | "float32_nchw";
  artifacts: Artifact[];
  selftest?: { file: FileEntry; logits: number[] }[];
}

export interface Label {
  label: string;
  probability: number;
}

/** What a model says about one image. */
export class Prediction {
  readonly classes: string[];
  readonly probabilities: Float32Array;
  readonly thresholds: number[];
  constructor(classes: string[], probabilities: Float32Array, thresholds: number[]);
  /** The classes at or above their threshold, the most probable first. */
  get labels(): Label[];
  /** The `count` most probable classes, whatever their thresholds. */
  top(count: number): Label[];
}

export interface SelfTest {
  artifact: string;
  passed: boolean;
  /** Allowed absolute difference of a logit to the training framework's. */
  tolerance: number;
  /** The same of the mean over all; null where export measured none. */
  meanTolerance: number | null;
  mean: number;
  images: { file: string; largest: number; passed: boolean }[];
}

/** A bundle somewhere: its manifest, and its files, each checked. */
export class Bundle {
  private constructor();
  readonly place: string;
  readonly manifest: Manifest;
  /** The bytes of a file that the manifest lists; an EdgedistillError where its size or SHA-256 is another. */
  read(entry: FileEntry): Promise<Uint8Array>;
}

/** A loaded artifact; `release` it when it is no longer needed. */
export class Model<Source = Image> {
  private constructor();
  readonly bundle: Bundle;
  readonly manifest: Manifest;
  readonly artifact: Artifact;
  readonly session: Session;
  get classes(): string[];
  get thresholds(): number[];
  /** Label one image or a list of them, in order. */
  predict(images: Source | Source[]): Promise<Prediction[]>;
  /** Probabilities of one image or a list of them: C each, in order. */
  scores(images: Source | Source[]): Promise<Float32Array[]>;
  /** Decode and resize: RGB of height * width * 3 bytes. */
  prepare(image: Source): Promise<Uint8Array>;
  /** Run prepared images: the graph's own outputs, C each. */
  infer(inputs: Uint8Array[]): Promise<{ logits: Float32Array; probabilities: Float32Array }[]>;
  /** What `infer` gave for one image, as a prediction. */
  predictionOf(outputs: { logits: Float32Array; probabilities: Float32Array }): Prediction;
  /** Run the bundle's own photographs and compare with the training framework's logits. */
  selftest(): Promise<SelfTest>;
  /** Free what the session holds, once what it computes is done; nothing can be predicted after. */
  release(): Promise<void>;
}

/** What is wrong with a bundle or an image: one line that names it, the reason and the way out. */
export class EdgedistillError extends Error {}

export const SCHEMA_VERSION: number;

/**
 * Load an artifact from a bundle's folder, in a browser relative to the page, or of a bundle that is open. What
 * `predict` takes is what `decode` takes, or decoded pixels.
 */
export function load<Source = Image>(
  place: string | URL | Bundle,
  options: LoadOptions<Source>,
): Promise<Model<Source | Pixels>>;
/** Open a bundle; `read` is in place of `fetch`. */
export function openBundle(place: string | URL, read?: (path: string) => Promise<Uint8Array>): Promise<Bundle>;
/** The artifacts that onnxruntime's JavaScript packages run, in the manifest's order. */
export function runnableArtifacts(manifest: Manifest): Artifact[];
/** An artifact by name, or the first that runs here. */
export function chooseArtifact(manifest: Manifest, name?: string): Artifact;
/** Decode an image by the browser: upright, without regard to colour profiles, alpha not multiplied in. */
export function decode(image: Exclude<Image, Pixels>): Promise<Pixels>;
/** 8-bit RGB: grey is spread, transparency is composited on white. */
export function toRgb(image: Pixels): Pixels & { data: Uint8Array };
/** Pillow's antialiased resize of an RGB image: height * width * 3 bytes of the preprocessing's size. */
export function resize(
  image: { width: number; height: number; data: Uint8Array },
  preprocessing: Pick<Preprocessing, "size" | "resize" | "interpolation">,
): Uint8Array;
/** The graph's input for resized images. */
export function toTensor(
  images: Uint8Array[],
  preprocessing: Pick<Preprocessing, "size" | "mean" | "std">,
  input: Manifest["input"],
): { type: "uint8" | "float32"; data: Uint8Array | Float32Array; dims: number[] };

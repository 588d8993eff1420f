/** What the JavaScript module of edgedistill needs of a phone: the bundle's bytes, SHA-256, decoded photographs. */
import { AlphaType, ColorType, Skia } from "@shopify/react-native-skia";
import { Asset } from "expo-asset";
import { CryptoDigestAlgorithm, digest } from "expo-crypto";
import { File } from "expo-file-system";
import * as ort from "onnxruntime-react-native";

import {
  EdgedistillError,
  load,
  openBundle,
  runnableArtifacts,
  type Bundle,
  type Model,
  type Pixels,
} from "./edgedistill/index.js";
import { FILES } from "./files";

/** A file's address, or an encoded image. */
export type Photograph = string | Uint8Array;

/** The bundle that this app carries; a file of it that is not what the manifest lists is refused when it is read. */
export async function openOwnBundle(): Promise<Bundle> {
  provideSha256();
  return openBundle("the app's bundle", readFile);
}

/** Names of the artifacts that are in this app, the default first. */
export function ownArtifacts(bundle: Bundle): string[] {
  return runnableArtifacts(bundle.manifest)
    .filter((one) => one.files.every((file) => file.path in FILES))
    .sort((a, b) => Number(b.status === "verified") - Number(a.status === "verified"))
    .map((one) => one.name);
}

/** An artifact of the bundle; `release` it when it is no longer needed. */
export async function loadOwn(bundle: Bundle, artifact: string): Promise<Model<Photograph | Pixels>> {
  return load(bundle, { ort, artifact, decode });
}

/** Upright pixels, by Skia, whose JPEG is libjpeg-turbo as Python's. */
export async function decode(photograph: Photograph): Promise<Pixels> {
  const bytes = typeof photograph === "string" ? await new File(photograph).bytes() : photograph;
  const image = Skia.Image.MakeImageFromEncoded(Skia.Data.fromBytes(bytes));
  if (!image) throw new EdgedistillError("the photograph: this phone cannot decode it.");
  try {
    const [width, height] = [image.width(), image.height()];
    const info = { width, height, colorType: ColorType.RGBA_8888, alphaType: AlphaType.Unpremul };
    const data = image.readPixels(0, 0, info);
    if (!(data instanceof Uint8Array)) throw new EdgedistillError("the photograph: its pixels cannot be read.");
    return { width, height, data, channels: 4 };
  } finally {
    image.dispose();
  }
}

async function readFile(path: string): Promise<Uint8Array> {
  const module = FILES[path];
  if (module === undefined) throw new EdgedistillError(`${path}: not in this app. Make it again.`);
  const asset = await Asset.fromModule(module).downloadAsync();
  if (!asset.localUri) throw new EdgedistillError(`${path}: cannot be read from this app's assets.`);
  return new File(asset.localUri).bytes();
}

/** Hermes has no WebCrypto; the module asks it for SHA-256 alone. */
function provideSha256(): void {
  const scope = globalThis as { crypto?: { subtle?: unknown } };
  if (scope.crypto?.subtle) return;
  const subtle = { digest: (_: string, data: Uint8Array<ArrayBuffer>) => digest(CryptoDigestAlgorithm.SHA256, data) };
  scope.crypto = { ...scope.crypto, subtle };
}

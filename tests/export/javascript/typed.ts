// Compiled only: what a TypeScript app writes, and what its compiler must refuse.
import * as web from "onnxruntime-web";

import { Bundle, EdgedistillError, load, type Model } from "./edgedistill/index.js";
import { load as loadInNode } from "./edgedistill/node.js";

export async function inABrowser(photo: File): Promise<string> {
  const model: Model = await load("bundle", { ort: web, artifact: "ort-fp32", providers: ["wasm"] });
  const [prediction] = await model.predict(photo);
  const scores: Float32Array[] = await model.scores([photo, { width: 1, height: 1, data: new Uint8Array(3) }]);
  // @ts-expect-error: a number is no image
  await model.predict(3);
  // @ts-expect-error: onnxruntime is not given
  await load("bundle", {});
  await model.release();
  return `${prediction.labels.map(({ label, probability }) => `${label} ${probability.toFixed(2)}`)} ${scores.length}`;
}

export async function withItsOwnDecoder(): Promise<void> {
  const decode = async (page: { number: number }) => ({ width: 1, height: page.number, data: new Uint8Array(3) });
  const model = await loadInNode("bundle", { decode });
  await model.predict([{ number: 1 }, { width: 1, height: 1, data: new Uint8Array(3) }]);
  // @ts-expect-error: the decoder takes no path
  await model.predict("photo.jpg");
  // @ts-expect-error: a bundle is opened by `openBundle`
  new Bundle();
}

export async function inNode(): Promise<boolean> {
  try {
    const model = await loadInNode("bundle");
    await model.predict(["photo.jpg", new URL("file:///photo.jpg")]);
    return (await model.selftest()).passed;
  } catch (error) {
    if (error instanceof EdgedistillError) console.error(error.message);
    throw error;
  }
}

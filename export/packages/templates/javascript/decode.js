/** Encoded images to pixels by the browser, in a page or a worker. */
import { EdgedistillError, words } from "./errors.js";

const OPTIONS = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };

/**
 * Decode an image as it is stored: turned upright, without regard to colour profiles, alpha not multiplied in.
 *
 * @param {Blob | ArrayBuffer | Uint8Array | CanvasImageSource} image encoded, or what a canvas can draw
 * @returns {Promise<{width: number, height: number, data: Uint8Array | Uint8ClampedArray, channels: number}>}
 */
export async function decode(image) {
  const encoded = image instanceof ArrayBuffer || ArrayBuffer.isView(image) ? new Blob([image]) : image;
  let bitmap;
  try {
    bitmap = await createImageBitmap(encoded, OPTIONS);
  } catch (error) {
    throw new EdgedistillError(`${image?.name ?? "the image"}: this browser cannot decode it (${words(error)}).`, {
      cause: error,
    });
  }
  try {
    return pixelsOf(bitmap);
  } finally {
    if (bitmap !== image) bitmap.close();
  }
}

function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  for (let place = 3; place < data.length; place += 4) {
    // A canvas keeps colours multiplied by alpha and loses bits of them.
    if (data[place] !== 255) return { width, height, data: straight(bitmap) ?? data, channels: 4 };
  }
  return { width, height, data, channels: 4 };
}

/** RGBA whose alpha is not multiplied in, by way of a texture; null where there is no WebGL, or it is too small. */
function straight(bitmap) {
  const { width, height } = bitmap;
  const gl = canvasOf(1, 1).getContext("webgl2", { premultipliedAlpha: false, antialias: false });
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    gl.COLOR_ATTACHMENT0,
    gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D),
    0,
  );
  if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) return null;
  const data = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  const failed = gl.getError() !== gl.NO_ERROR;
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return failed ? null : data;
}

function canvasOf(width, height) {
  if (typeof OffscreenCanvas !== "undefined") return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement("canvas"), { width, height });
}

// The camera: frames go to the model one after the other, each as soon as the one before is done.
export class Camera {
  #stream = null;

  constructor({ onFrame, onChange, onError }) {
    this.onFrame = onFrame;
    this.onChange = onChange;
    this.onError = onError;
  }

  async toggle(video) {
    if (this.#stream) return this.stop();
    try {
      if (!navigator.mediaDevices) throw new Error("the camera: browsers give it to https:// and localhost alone.");
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
      video.srcObject = this.#stream;
      await video.play();
      this.onChange(true);
      await this.#look(video);
    } catch (error) {
      this.stop();
      this.onError(
        error.name === "NotAllowedError" ? new Error("the camera: this page was not allowed to use it.") : error,
      );
    }
  }

  stop() {
    if (!this.#stream) return;
    for (const track of this.#stream.getTracks()) track.stop();
    this.#stream = null;
    this.onChange(false);
  }

  async #look(video) {
    while (this.#stream) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      if (this.#stream && video.readyState >= 2) await this.onFrame(await createImageBitmap(video));
    }
  }
}

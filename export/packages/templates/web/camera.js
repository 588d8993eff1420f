// The camera: frames go to the model one after the other, each as soon as the one before is done.
export class Camera {
  #turn = null; // from one press of the button to the next; it may still be asking whether it may look

  constructor({ onFrame, onChange, onError }) {
    this.onFrame = onFrame;
    this.onChange = onChange;
    this.onError = onError;
  }

  get on() {
    return this.#turn !== null;
  }

  async toggle(video) {
    if (this.on) return this.stop();
    const turn = (this.#turn = { tracks: [] });
    try {
      if (!navigator.mediaDevices) throw new Error("the camera: browsers give it to https:// and localhost alone.");
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
      turn.tracks = stream.getTracks();
      if (this.#turn !== turn) return end(turn);
      for (const track of turn.tracks) track.onended = () => this.#turn === turn && this.stop();
      video.srcObject = stream;
      await video.play();
      if (this.#turn !== turn) return;
      this.onChange(true);
      await this.#look(video, turn);
    } catch (error) {
      if (this.#turn !== turn) return;
      this.stop();
      this.onError(error.name === "NotAllowedError" ? new Error("the camera: this page may not use it.") : error);
    }
  }

  stop() {
    if (!this.on) return;
    end(this.#turn);
    this.#turn = null;
    this.onChange(false);
  }

  async #look(video, turn) {
    while (this.#turn === turn) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      if (this.#turn === turn && video.readyState >= 2) await this.onFrame(await createImageBitmap(video));
    }
  }
}

function end(turn) {
  for (const track of turn.tracks) track.stop();
}

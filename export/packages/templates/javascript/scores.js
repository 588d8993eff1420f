/** From a graph's outputs to labels, at an artifact's own temperature and thresholds. */
import { EdgedistillError } from "./errors.js";

function sigmoid(value) {
  const decay = Math.exp(-Math.abs(value));
  return (value >= 0 ? 1 : decay) / (1 + decay);
}

/** Float32Array of probabilities: the graph's own, or sigmoid(logit / temperature) where the artifact has one. */
export function probabilitiesOf(artifact, logits, probabilities) {
  const point = artifact.operating_point;
  const given = point ? logits : probabilities;
  if (!given.every(Number.isFinite)) {
    throw new EdgedistillError(
      `${artifact.name}: its outputs hold NaN or infinity: the model is broken, or overflows here. Take another artifact.`,
    );
  }
  const temperature = point ? Math.fround(point.temperature) : 1;
  return point ? Float32Array.from(logits, (logit) => sigmoid(logit / temperature)) : Float32Array.from(probabilities);
}

/** What a model says about one image. */
export class Prediction {
  /**
   * @param {string[]} classes C names
   * @param {Float32Array} probabilities of each
   * @param {number[]} thresholds from which each label is reported
   */
  constructor(classes, probabilities, thresholds) {
    this.classes = classes;
    this.probabilities = probabilities;
    this.thresholds = thresholds;
  }

  /** [{label, probability}] of the classes at or above their threshold, the most probable first. */
  get labels() {
    return this.#sorted()
      .filter((i) => this.probabilities[i] >= this.thresholds[i])
      .map((i) => this.#of(i));
  }

  /** The same of the `count` most probable, whatever their thresholds. */
  top(count) {
    return this.#sorted()
      .slice(0, count)
      .map((i) => this.#of(i));
  }

  #sorted() {
    return [...this.classes.keys()].sort((a, b) => this.probabilities[b] - this.probabilities[a]);
  }

  #of(i) {
    return { label: this.classes[i], probability: this.probabilities[i] };
  }
}

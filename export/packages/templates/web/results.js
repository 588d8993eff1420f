// Labels with their probabilities, as bars with a tick at each class's threshold.
const MOST = 10; // labels at once; the others are folded
const MOST_OTHERS = 5;
const element = (id) => document.getElementById(id);

/** Show a prediction; `quiet` while the camera runs, so that a screen reader is not flooded. */
export function showPrediction({ classes, probabilities, thresholds, prepare, infer }, { quiet = false } = {}) {
  const order = [...classes.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
  const above = order.filter((i) => probabilities[i] >= thresholds[i]);
  const below = order.filter((i) => probabilities[i] < thresholds[i]).slice(0, MOST_OTHERS);
  const rows = (places) => places.map((i) => row(classes[i], probabilities[i], thresholds[i]));
  element("labels").replaceChildren(...rows(above.slice(0, MOST)));
  element("further").replaceChildren(...rows(above.slice(MOST)));
  element("more").hidden = above.length <= MOST;
  element("more").firstElementChild.textContent = `${above.length - MOST} more`;
  element("others").replaceChildren(...rows(below));
  element("none").textContent = "No class reaches its threshold.";
  element("none").hidden = above.length > 0;
  element("rest").hidden = below.length === 0;
  element("rest").open ||= above.length === 0;
  element("latency").textContent = `${ms(infer)} inference, ${ms(prepare)} decode and resize`;
  if (quiet) return;
  const named = above
    .slice(0, MOST)
    .map((i) => `${classes[i]} ${percent(probabilities[i])}`)
    .join(", ");
  element("said").textContent = named
    ? `Labels: ${named}${above.length > MOST ? ", and more" : ""}.`
    : "No class reaches its threshold.";
}

export function clearPrediction(text) {
  element("labels").replaceChildren();
  element("others").replaceChildren();
  element("more").hidden = true;
  element("rest").hidden = true;
  element("none").hidden = false;
  element("none").textContent = text;
  element("latency").textContent = "";
  element("said").textContent = ""; // so that the same labels are said again
}

export function ms(value) {
  return `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} ms`;
}

function percent(value) {
  return `${(value * 100).toFixed(1)} %`;
}

function row(label, probability, threshold) {
  const item = document.createElement("li");
  const part = (name, text = "") => {
    const made = document.createElement(name === "track" ? "div" : "span");
    made.className = name;
    made.textContent = text;
    return made;
  };
  const track = part("track");
  track.setAttribute("aria-hidden", "true");
  track.style.setProperty("--p", probability);
  track.style.setProperty("--t", threshold);
  track.append(part("fill"), part("tick"));
  item.title = `threshold ${percent(threshold)}`;
  item.append(part("label", label), part("value", percent(probability)), track);
  return item;
}

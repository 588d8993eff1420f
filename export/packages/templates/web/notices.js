// Lines above the page's content: what is under way, what went wrong and what can be done.

/** Show a line; `remove` takes it away, `progress` moves its bar from 0 to 1. */
export function notice(text, { error = false, progress = false, button = "", action } = {}) {
  const box = document.createElement("div");
  box.className = error ? "notice error" : "notice";
  box.setAttribute("role", error ? "alert" : "status");
  const words = document.createElement("p");
  words.textContent = text;
  box.append(words);
  if (button) {
    const press = document.createElement("button");
    press.type = "button";
    press.textContent = button;
    press.addEventListener("click", action);
    box.append(press);
  }
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", text);
  if (progress) box.append(bar);
  document.getElementById("notices").append(box);
  return { remove: () => box.remove(), progress: (value) => (bar.value = value) };
}

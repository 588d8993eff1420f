// Where photographs come from: the file dialog, dropping, pasting.
export function photographs(frame, input, show) {
  const first = (files) => {
    const given = [...(files ?? [])];
    if (given.length) show(given.find((file) => file.type.startsWith("image/")) ?? given[0]);
  };
  input.addEventListener("change", () => {
    first(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => first(event.clipboardData?.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    frame.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? frame.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    frame.classList.remove("over");
    first(event.dataTransfer?.files);
  });
}

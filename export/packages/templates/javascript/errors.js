/** What is wrong with a bundle or an image, in one line that names it, the reason and the way out. */
export class EdgedistillError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "EdgedistillError";
  }
}

/** The words of any error, or what else was thrown. */
export function words(error) {
  return error instanceof Error ? error.message : String(error);
}

/** What is wrong with a bundle or an image, in one line that names it, the reason and the way out. */
export class EdgedistillError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "EdgedistillError";
  }
}

/** The way out where a file cannot be found. */
export const ABSENT =
  "A folder may hold fewer artifacts than its manifest lists: name one that is there, `load(place, { artifact })`. " +
  "Or copy the bundle again.";

/** The words of any error, or what else was thrown. */
export function words(error) {
  return error instanceof Error ? error.message : String(error);
}

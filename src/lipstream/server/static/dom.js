// Three functions that all parts of the page use.

/** The element with this id. A wrong id is a bug in the page and throws at once. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/** Shows an error in an alert region next to its cause, and marks that control. Without a title, clears both. */
export function showError(region, control, title = "", message = "") {
  region.replaceChildren();
  if (title) {
    const heading = document.createElement("strong");
    heading.textContent = title;
    region.append(heading, message);
  }
  if (title) control?.setAttribute("aria-invalid", "true");
  else control?.removeAttribute("aria-invalid");
}

/** Announces something to screen readers once, without moving the focus. */
export function announce(words) {
  byId("announcer").textContent = words;
}

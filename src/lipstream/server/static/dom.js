// The three things every part of the page does with the document.

/** The element with this id; a wrong id is a mistake in the page and throws at once. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/** Shows an error in its alert region, next to what caused it, and marks that control. No words: clears both. */
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

/** Says something once to screen readers without moving the focus. */
export function announce(words) {
  byId("announcer").textContent = words;
}

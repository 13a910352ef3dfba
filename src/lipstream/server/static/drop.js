// Passes files that are dropped anywhere on the page, or pasted into it, to the part that they belong to.

import { isClip } from "./clip.js";
import { isDocument } from "./kinds.js";

/**
 * @param {{picture: HTMLElement, speech: HTMLElement}} parts  of the page
 * @param {{picture: (file: File) => void, speech: (file: File) => void, unknown: (file: File) => void}} take
 *   what to do with each kind of file; one of unclear kind goes to the part it was dropped on, otherwise to `unknown`
 * @param {() => boolean} busy  while true, files are ignored (a hidden view is busy)
 */
export function acceptFiles(parts, take, busy) {
  const partAt = (target) => Object.keys(parts).find((name) => parts[name].contains(target));
  let depth = 0; // dragenter and dragleave fire for every child; the drag has left the page when their numbers are equal

  const mark = (target) => {
    document.body.classList.toggle("dragging", depth > 0);
    for (const name of Object.keys(parts)) parts[name].classList.toggle("drop-target", depth > 0 && parts[name].contains(target));
  };
  const deliver = (files, target) => {
    if (busy()) return;
    const taken = new Set();
    for (const file of files) {
      const kind = kindOf(file, partAt(target));
      if (!taken.has(kind)) take[kind](file);
      taken.add(kind);
    }
  };

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    mark(event.target);
  });
  document.addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    if (depth === 0) mark(null);
  });
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault(); // allows the drop
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault(); // otherwise the browser would leave the page and show the file
    depth = 0;
    mark(null);
    deliver(event.dataTransfer.files, event.target);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) deliver(event.clipboardData.files, event.target);
  });
}

/** A video counts as a clip on the part for pictures, and as a recording everywhere else. */
function kindOf(file, part) {
  if (file.type.startsWith("image/")) return "picture";
  if (file.type.startsWith("audio/")) return "speech";
  return part ?? (isClip(file) ? "speech" : "unknown");
}

/** Title and message for a file that no part accepted. */
export function unknownWords(file) {
  if (isDocument(file)) return ["Neither picture nor recording", `${file.name} is a document. Choose a picture or a clip, and a recording of somebody speaking.`];
  return ["Picture or speech?", `${file.name} could be either. Drop it on the part it is meant for.`];
}

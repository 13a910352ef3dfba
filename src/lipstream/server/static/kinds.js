// Refuses files that certainly are not pictures or recordings as soon as they are chosen, with the server's own messages.
// Files in doubt are accepted, because the server reads more formats than browsers do.

import { describeError } from "./words.js";

/** Linux calls MPEG transport streams text/vnd.trolltech.linguist. */
const DOCUMENT = /^text\/(?!vnd)|^font\/|^application\/(pdf|json|xml|zip|rtf|msword|vnd\.(openxml|oasis|ms-))/;
/** Types that text files may have: those that say nothing, and those that every browser can show if the type is true. */
const MAY_BE_TEXT = ["", "application/octet-stream", "image/jpeg", "image/png", "image/gif", "image/webp"];
const BEGINNING_BYTES = 512;

const PICTURE_KINDS = "JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF";
const EMPTY = "The file is empty. Choose another one.";
const NO_PICTURE = { code: "not_an_image", message: `The picture could not be read. Send a ${PICTURE_KINDS} file.` };
const HEIC = { code: "not_an_image", message: `HEIC photos cannot be read. Save the picture as ${PICTURE_KINDS} and send that.` };
const NO_RECORDING = {
  code: "not_audio",
  message: "The recording could not be read. Send an undamaged WAV, MP3, M4A/AAC, Ogg, Opus, FLAC, WebM or a video with sound.",
};

/** Whether a file's type is neither that of a picture nor of a recording. @param {File} file */
export function isDocument(file) {
  return DOCUMENT.test(file.type);
}

/**
 * Why a file cannot be a portrait.
 *
 * @param {File} file
 * @param {boolean} shown  whether the browser can show it
 * @returns {Promise<{code: string, message: string} | null>}  codes as the server uses them; null if it may be one
 */
export async function pictureRefusal(file, shown) {
  if (file.size === 0) return { code: file.type.startsWith("video/") ? "not_a_video" : "not_an_image", message: EMPTY };
  if (/^image\/hei[cf]/.test(file.type)) return HEIC;
  if (file.type.startsWith("audio/") || file.type.startsWith("image/svg") || isDocument(file)) return NO_PICTURE;
  return !shown && MAY_BE_TEXT.includes(file.type) && (await isText(file)) ? NO_PICTURE : null;
}

/** Why a file cannot be a recording, or null. @param {File} file */
export async function speechRefusal(file) {
  if (file.size === 0) return { code: "audio_empty", message: EMPTY };
  return file.type.startsWith("image/") || isDocument(file) || (await isText(file)) ? NO_RECORDING : null;
}

/** Title and message for a refused file. The file is named, because another one stays chosen. */
export function refusalWords({ code, message }, file) {
  return [`${describeError(code).title}: ${file.name}`, message];
}

/** Whether a file is text, whatever its name, such as the page that a site sends instead of a picture. */
async function isText(file) {
  try {
    const beginning = await file.slice(0, BEGINNING_BYTES).arrayBuffer();
    const text = new TextDecoder("utf-8", { fatal: true }).decode(beginning, { stream: true });
    return !/[\0-\x08\x0e-\x1f]/.test(text);
  } catch {
    return false;
  }
}

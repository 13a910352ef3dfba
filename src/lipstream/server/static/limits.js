// Checks the server's limits first, so that nobody uploads for minutes only to learn that the files are too large.

import { isClip } from "./clip.js";
import { duration, size } from "./words.js";

/** Bytes of a message besides the two files. */
const MESSAGE_FRAME_BYTES = 1000;

/** @returns {Promise<object | null>} the answer of /v1/limits, or null; then only the server checks its limits */
export async function fetchLimits(page) {
  try {
    const answer = await fetch(new URL("v1/limits", page));
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/**
 * The first limit that a job exceeds.
 *
 * @param {object | null} limits
 * @param {{portrait: File, pixels: number, clipSeconds: number, audio: File, seconds: number}} job  0 for values that the browser does not know
 * @returns {{code: string, message: string} | null}  codes as the server uses them
 */
export function brokenLimit(limits, { portrait, pixels, clipSeconds, audio, seconds }) {
  const [kind, advice] = isClip(portrait) ? ["video", "make it shorter"] : ["image", "save it as JPEG"];
  if (!limits) return null;
  const { [`max_${kind}_bytes`]: mostBytes, [`max_${kind}_pixels`]: mostPixels } = limits;
  if (portrait.size > mostBytes) {
    return { code: `${kind}_too_large`, message: `It has ${size(portrait.size)}; this server takes up to ${size(mostBytes)}. Choose a smaller one, or ${advice}.` };
  }
  if (clipSeconds > limits.max_video_seconds + 0.5) {
    return { code: "video_too_long", message: `It lasts ${duration(clipSeconds)}; this server takes up to ${duration(limits.max_video_seconds)}. It is played back and forth, so a few seconds are enough. Shorten it.` };
  }
  if (pixels > mostPixels) {
    return { code: `${kind}_too_large`, message: `It has ${megapixels(pixels)}; this server takes up to ${megapixels(mostPixels)}. Choose a smaller one, or crop it to the face.` };
  }
  if (seconds > limits.max_audio_seconds) {
    return { code: "audio_too_long", message: `It lasts ${duration(seconds)}; this server takes up to ${duration(limits.max_audio_seconds)}. Cut it into parts.` };
  }
  if (base64Bytes(portrait) + base64Bytes(audio) + MESSAGE_FRAME_BYTES > limits.max_message_bytes) {
    const room = Math.floor(((limits.max_message_bytes - MESSAGE_FRAME_BYTES) * 3) / 4);
    return { code: "message_too_large", message: `Together they have ${size(portrait.size + audio.size)}; this server takes up to ${size(room)}. Choose a smaller picture, or a compressed recording (MP3, M4A or OGG instead of WAV).` };
  }
  return null;
}

function base64Bytes(file) {
  return 4 * Math.ceil(file.size / 3);
}

function megapixels(pixels) {
  return `${(pixels / 1e6).toFixed(1)} megapixels`;
}

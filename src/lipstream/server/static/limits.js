// What the server accepts, checked here first, so that nobody uploads for minutes to hear that it was too much.

import { isClip } from "./clip.js";
import { duration, size } from "./words.js";

/** Room for all of a message that is not the two files. */
const MESSAGE_FRAME_BYTES = 1000;

/** @returns {Promise<object | null>} the answer of /v1/limits, or null: then the server's errors have to do */
export async function fetchLimits(page) {
  try {
    const answer = await fetch(new URL("v1/limits", page));
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/**
 * The first limit that a job breaks.
 *
 * @param {object | null} limits
 * @param {{portrait: File, pixels: number, clipSeconds: number, audio: File, seconds: number}} job  0 for what the browser cannot tell
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
    return { code: "video_too_long", message: `It lasts ${duration(clipSeconds)}; this server takes up to ${duration(limits.max_video_seconds)}. It is played forth and back, so a few seconds are enough: cut it.` };
  }
  if (pixels > mostPixels) {
    return { code: `${kind}_too_large`, message: `It has ${megapixels(pixels)}; this server takes up to ${megapixels(mostPixels)}. Choose a smaller one, or cut the face out.` };
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

// The page's texts for numbers and errors, in one place.

/** The part of the page that an error code belongs to, and the title above the server's own message. */
const ERRORS = {
  not_an_image: ["picture", "This is not a picture"],
  image_truncated: ["picture", "The picture is incomplete"],
  image_too_large: ["picture", "The picture is too large"],
  image_too_small: ["picture", "The picture is too small"],
  not_a_video: ["picture", "This clip cannot be read"],
  video_too_large: ["picture", "The clip is too large"],
  video_too_small: ["picture", "The clip is too small"],
  video_too_long: ["picture", "The clip is too long"],
  face_cut_off: ["picture", "The face is cut off"],
  no_face: ["picture", "No face found"],
  face_turned: ["picture", "The face is turned too far"],
  not_audio: ["speech", "This is not a recording"],
  no_audio_stream: ["speech", "There is no sound in this file"],
  audio_empty: ["speech", "The recording is empty"],
  audio_too_long: ["speech", "The recording is too long"],
  message_too_large: ["make", "Picture and recording are too large together"],
  unreadable: ["speech", "The file cannot be read"],
  queue_full: ["speech", "Too much speech is waiting"],
  no_microphone: ["speech", "No microphone"],
  avatar_unknown: ["picture", "The server no longer has this face"],
  session_idle: ["make", "Nobody spoke for a while"],
  session_too_long: ["make", "The conversation reached its time limit"],
  receiver_too_slow: ["make", "The connection is too slow"],
  cannot_play: ["make", "This browser cannot play the stream"],
  server_busy: ["make", "The server is busy"],
  not_ready: ["make", "The server is still starting"],
  unreachable: ["make", "The server does not answer"],
  connection_lost: ["make", "The connection was lost"],
};

/**
 * @param {string} code
 * @param {string} otherwise  the title for codes without one of their own
 * @returns {{place: "picture" | "speech" | "make", title: string}}
 */
export function describeError(code, otherwise = "No video was made") {
  const [place, title] = ERRORS[code] ?? ["make", otherwise];
  return { place, title };
}

/** 75.4 → "1:15" */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** 7.04 → "7.0 seconds", 130 → "2 min 10 s" */
export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} seconds`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** 219244 → "219 KB" (powers of ten, as in file managers) */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} KB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** "Aunt May.final.jpg" → "Aunt May.final" */
export function stem(name) {
  return name.replace(/\.[^.]*$/, "") || name;
}

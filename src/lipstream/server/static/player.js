// A player for the chosen recording: play and pause, a waveform to seek in, the time.

import { byId } from "./dom.js";
import { barsPath, peaks } from "./waveform.js";
import { clock } from "./words.js";

/** Longer recordings are not decoded for a waveform: ten minutes of stereo take about 230 MB when decoded. */
const WAVEFORM_LIMIT_BYTES = 12e6;

export class Player {
  #box = byId("player");
  #button = byId("play");
  #seek = byId("seek");
  #time = byId("player-time");
  #audio = new Audio();
  #seconds = 0;

  constructor() {
    this.#button.addEventListener("click", () => (this.#audio.paused ? this.#play() : this.#audio.pause()));
    this.#seek.addEventListener("input", () => {
      this.#audio.currentTime = this.#seek.value * this.#seconds;
      this.#show();
    });
    for (const event of ["play", "pause", "ended"]) this.#audio.addEventListener(event, () => this.#show());
    this.#audio.addEventListener("play", () => this.#follow());
  }

  /** Loads a recording. @returns {Promise<number>} its length in seconds, 0 if the browser does not know */
  async load(file) {
    const url = URL.createObjectURL(file);
    this.clear();
    this.#audio.src = url;
    this.#draw([]);
    this.#show();
    this.#box.hidden = false;
    const [length, levels] = await Promise.all([mediaLength(url), decode(file)]);
    if (this.#audio.src !== url) return 0;
    this.#seconds = levels?.seconds ?? length;
    this.#draw(levels?.levels ?? []);
    this.#box.hidden = this.#seconds === 0;
    this.#show();
    return this.#seconds;
  }

  clear() {
    this.#audio.pause();
    if (this.#audio.src) URL.revokeObjectURL(this.#audio.src);
    this.#audio.removeAttribute("src");
    this.#seconds = 0;
    this.#box.hidden = true;
  }

  pause() {
    this.#audio.pause();
  }

  focus() {
    this.#button.focus();
  }

  #play() {
    // A file that the browser cannot play has no length either; the player is then hidden.
    this.#audio.play().catch(() => this.#show());
  }

  #follow() {
    this.#show();
    if (!this.#audio.paused) requestAnimationFrame(() => this.#follow());
  }

  #show() {
    const at = Math.min(this.#audio.currentTime, this.#seconds);
    const part = this.#seconds > 0 ? at / this.#seconds : 0;
    const length = clock(this.#seconds); // whole seconds that have passed, as browsers show it under videos
    const playing = !this.#audio.paused;
    this.#box.classList.toggle("playing", playing);
    this.#button.setAttribute("aria-label", playing ? "Pause" : "Listen");
    this.#time.textContent = at > 0 ? `${clock(at)} / ${length}` : length;
    this.#seek.value = part;
    this.#seek.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${this.#seconds.toFixed(1)} seconds`);
    byId("wave").style.setProperty("--played", `${part * 100}%`);
  }

  #draw(levels) {
    const path = barsPath(levels);
    byId("wave-all").setAttribute("d", path);
    byId("wave-played").setAttribute("d", path);
  }
}

/** Length according to the browser's media element, in seconds; 0 if it cannot play the file. */
function mediaLength(url) {
  return new Promise((resolve) => {
    const probe = new Audio();
    probe.preload = "metadata";
    probe.onerror = () => resolve(0);
    probe.ondurationchange = () => {
      if (Number.isFinite(probe.duration)) resolve(probe.duration);
      // Chromium's own recordings do not contain their length. Seeking to the end makes it known.
      else probe.currentTime = Number.MAX_SAFE_INTEGER;
    };
    probe.src = url;
  });
}

/** The waveform and exact length of a recording, or null if it is too large or unreadable. */
async function decode(file) {
  if (file.size > WAVEFORM_LIMIT_BYTES) return null;
  try {
    const buffer = await new OfflineAudioContext(1, 1, 44_100).decodeAudioData(await file.arrayBuffer());
    return { seconds: buffer.duration, levels: peaks(buffer) };
  } catch {
    return null;
  }
}

// Speaking through the face: with the microphone, push-to-talk or hands-free, or with a recording.

import { byId } from "./dom.js";
import { Ear, LiveMicrophone } from "./live-microphone.js";
import { LipstreamError } from "./lipstream.js";
import { BARS, barsPath } from "./waveform.js";

const FILE_RATE = 48_000;
/** Compressed sound becomes about ten times as large when it is decoded. */
const FILE_BYTES = 50e6;
const WORDS = {
  hold: { off: "Hold to talk", on: "Let go when you are done", about: "Hold the button, or the space bar on it, while you speak. It interrupts the face." },
  free: { off: "Listen to me", on: "Stop listening", about: "Just speak; a pause ends what you say. With headphones the face cannot hear itself." },
};

/**
 * @typedef {object} Listener  what to do with the speech
 * @property {(samples: Float32Array, rate: number) => void} speech
 * @property {() => void} end  the utterance is over
 * @property {() => void} begin  somebody starts to talk with the button
 * @property {(error: {code: string, message: string}) => void} fail
 * @property {() => void} change  {@link Talk.hears} may have changed
 */

export class Talk {
  #listener;
  #microphone = null;
  #opening = null;
  #mode = "hold";
  #on = false;
  #ear;
  #levels = [];
  #meterAt = 0;
  #button = byId("talk");

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
    this.#ear = new Ear((samples, rate) => listener.speech(samples, rate), () => listener.end());
    for (const mode of ["hold", "free"]) byId(`mode-${mode}`).addEventListener("click", () => this.#setMode(mode));
    this.#button.addEventListener("pointerdown", (event) => this.#mode === "hold" && event.button === 0 && this.#press(event.pointerId));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
      this.#button.addEventListener(type, () => this.#mode === "hold" && this.#release());
    }
    this.#button.addEventListener("keydown", (event) => this.#key(event));
    this.#button.addEventListener("keyup", ({ key }) => this.#mode === "hold" && isPress(key) && this.#release());
    this.#button.addEventListener("click", (event) => this.#click(event));
    this.#button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
    this.#show();
  }

  /** Whether somebody is speaking into the microphone. */
  get hears() {
    return this.#on && (this.#mode === "hold" || this.#ear.hears);
  }

  /** Stops talking and releases the microphone. */
  close() {
    this.#release();
    this.#shut();
  }

  /** Speaks a recording. @throws {LipstreamError} */
  async send(file) {
    if (file.size > FILE_BYTES) throw new LipstreamError("audio_too_long", "Send a shorter recording; files of any length can be made into a video in the other tab.");
    const sound = await new OfflineAudioContext(1, 1, FILE_RATE)
      .decodeAudioData(await file.arrayBuffer())
      .catch(() => null);
    if (!sound) throw new LipstreamError("not_audio", `This browser cannot read ${file.name}. Choose a WAV, MP3, M4A or OGG file.`);
    this.#listener.speech(mixed(sound), FILE_RATE);
    this.#listener.end();
  }

  #setMode(mode) {
    if (mode === this.#mode) return;
    this.#release();
    this.#mode = mode;
    this.#show();
  }

  #key(event) {
    if (this.#mode !== "hold" || !isPress(event.key)) return;
    event.preventDefault(); // prevents a click in addition
    if (!event.repeat) this.#press();
  }

  /** In hold mode, only handles clicks without a press, which come from screen readers and voice control. They toggle. */
  #click(event) {
    if (this.#mode === "hold" && event.detail !== 0) return;
    if (this.#on) this.#release();
    else this.#press();
  }

  async #press(pointer) {
    if (this.#on) return;
    this.#on = true;
    this.#show();
    if (pointer !== undefined) this.#button.setPointerCapture(pointer);
    if (this.#mode === "hold") this.#listener.begin();
    try {
      await this.#open();
    } catch (error) {
      this.#opening = null;
      this.#release();
      this.#listener.fail(error);
    }
  }

  /** The microphone stays open between presses, so that the first word is not lost. */
  async #open() {
    if (this.#microphone) return;
    const opening = (this.#opening ??= LiveMicrophone.open((samples, rate) => this.#hear(samples, rate)));
    const microphone = await opening;
    if (this.#opening === opening) this.#microphone = microphone;
    else microphone.close(); // closed while the browser was asking for permission
  }

  #release() {
    if (!this.#on) return;
    this.#on = false;
    if (this.#mode === "hold") this.#listener.end();
    else {
      this.#ear.stop();
      this.#shut();
    }
    this.#show();
  }

  #shut() {
    this.#microphone?.close();
    this.#microphone = this.#opening = null;
    this.#levels = [];
    this.#drawLevel([]);
  }

  #hear(samples, rate) {
    this.#meter(samples);
    if (!this.#on) return;
    const before = this.hears;
    if (this.#mode === "hold") this.#listener.speech(samples, rate);
    else this.#ear.push(samples, rate);
    if (this.hears !== before) this.#listener.change();
  }

  #meter(samples) {
    this.#levels.push(samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0));
    if (this.#levels.length > BARS) this.#levels.shift();
    const now = performance.now();
    if (now - this.#meterAt < 60) return;
    this.#meterAt = now;
    this.#drawLevel(this.#levels);
  }

  #drawLevel(levels) {
    const padded = new Array(BARS - levels.length).fill(0).concat(levels);
    byId("live-wave").setAttribute("d", barsPath(padded.map((level) => level ** 0.7)));
    byId("live-level").setAttribute("aria-valuenow", String(Math.round(100 * (levels.at(-1) ?? 0))));
  }

  #show() {
    const words = WORDS[this.#mode];
    this.#button.setAttribute("aria-pressed", String(this.#on));
    byId("talk-words").textContent = this.#on ? words.on : words.off;
    byId("live-talk-about").textContent = words.about;
    for (const mode of ["hold", "free"]) byId(`mode-${mode}`).setAttribute("aria-pressed", String(mode === this.#mode));
    this.#drawLevel(this.#levels);
    this.#listener.change();
  }
}

function isPress(key) {
  return key === " " || key === "Enter";
}

/** Mixes all channels down to one. */
function mixed(sound) {
  const samples = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const data = sound.getChannelData(channel);
    for (let i = 0; i < samples.length; i++) samples[i] += data[i] / sound.numberOfChannels;
  }
  return samples;
}

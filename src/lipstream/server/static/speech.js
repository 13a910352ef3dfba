// The speech: a file, a recording made here, or the sample. It can be played before it is sent.

import { announce, byId, showError } from "./dom.js";
import { refusalWords, speechRefusal } from "./kinds.js";
import { MicrophoneError } from "./microphone.js";
import { Player } from "./player.js";
import { Recording } from "./recorder.js";
import { BARS, barsPath } from "./waveform.js";
import { clock, duration, size } from "./words.js";

const LONGEST_RECORDING_SECONDS = 600;
const RECORDING_WORDS = "Recording. Speak, then press stop.";
const QUIET_LEVEL = 0.004;
const QUIET_AFTER_SECONDS = 3;

export class SpeechField {
  /** The chosen recording, or null. @type {File | null} */
  file = null;
  /** Its length in seconds; 0 if the browser does not know. */
  seconds = 0;
  #sample = null;
  #wanted = null;
  #recording = null;
  #recorded = 0;
  #player = new Player();
  #input = byId("speech-file");
  #about = byId("speech-about");
  #onChange;

  /** @param {() => void} onChange  called whenever other speech is chosen, or recording starts or ends */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#input.addEventListener("change", () => {
      const [file] = this.#input.files;
      if (file) this.choose(file);
      this.#input.value = "";
    });
    byId("speech-sample").addEventListener("click", () => {
      this.choose(this.#sample);
      this.#input.focus();
    });
    byId("record").addEventListener("click", () => this.#record());
    byId("stop").addEventListener("click", () => this.stop());
  }

  get recording() {
    return this.#recording !== null;
  }

  /** Offers the sample, and chooses it if nothing has been chosen in the meantime. */
  offer(sample) {
    this.#sample = sample;
    if (this.file || this.recording) byId("speech-sample").hidden = false;
    else this.choose(sample);
  }

  /** Refuses files that certainly are not recordings, and keeps what was chosen before. */
  async choose(file) {
    this.#wanted = file;
    const refusal = file === this.#sample ? null : await speechRefusal(file);
    if (this.#wanted !== file) return;
    if (refusal) return this.fail(...refusalWords(refusal, file));
    byId("record-words").textContent = "Record";
    await this.#take(file, file === this.#sample ? "Sample sentence, a synthetic voice" : file.name);
  }

  async #take(file, title) {
    this.file = file;
    this.seconds = 0;
    this.fail();
    byId("speech-sample").hidden = !this.#sample || file === this.#sample;
    this.#about.textContent = `${title} · ${size(file.size)}`;
    this.#onChange();
    const seconds = await this.#player.load(file);
    if (this.file !== file) return;
    this.seconds = seconds;
    this.#about.textContent = seconds > 0
      ? `${title} · ${duration(seconds)}, ${size(file.size)}`
      : `${title} · ${size(file.size)}. Your browser cannot play it; the server may still understand it.`;
    if (file !== this.#sample) announce(`Speech chosen: ${title}`);
  }

  pause() {
    this.#player.pause();
  }

  /** Shows an error next to the speech and scrolls there; without a title, clears the error. */
  fail(title = "", message = "") {
    showError(byId("speech-error"), this.#input, title, message);
    if (title) this.#input.focus();
  }

  async #record() {
    byId("record").disabled = true;
    this.fail();
    this.#player.pause();
    const levels = [];
    let loudest = 0;
    try {
      this.#recording = await Recording.start((level, seconds) => {
        loudest = Math.max(loudest, level);
        levels.push(level);
        this.#showLevel(levels.slice(-BARS), seconds);
        const quiet = loudest < QUIET_LEVEL && seconds > QUIET_AFTER_SECONDS;
        this.#about.textContent = quiet ? "Nothing can be heard. Is the microphone muted?" : RECORDING_WORDS;
        if (seconds >= LONGEST_RECORDING_SECONDS) this.stop();
      });
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.fail("No recording", error.message);
      return;
    } finally {
      byId("record").disabled = false;
    }
    this.#showRecording(true);
    this.#about.textContent = RECORDING_WORDS;
    announce("Recording");
    byId("stop").focus();
  }

  /** Ends the recording, if there is one, and chooses it. */
  async stop() {
    const recording = this.#recording;
    if (!recording) return;
    this.#recording = null;
    const file = await recording.stop();
    this.#recorded += 1;
    this.#showRecording(false);
    byId("record-words").textContent = "Record again";
    const taken = this.#take(file, `Your recording ${this.#recorded}`);
    this.#player.focus();
    await taken;
  }

  #showRecording(active) {
    byId("recording").hidden = !active;
    byId("player").hidden = active;
    byId("speech-actions").hidden = active;
    this.#onChange();
  }

  #showLevel(levels, seconds) {
    const padded = new Array(BARS - levels.length).fill(0).concat(levels);
    byId("wave-live").setAttribute("d", barsPath(padded.map((level) => level ** 0.7)));
    byId("level").setAttribute("aria-valuenow", String(Math.round(100 * levels[levels.length - 1])));
    byId("recording-time").textContent = clock(seconds);
  }
}

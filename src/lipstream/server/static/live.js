// The live view: a face, a session of /ws/stream, and ways to speak through it.

import { announce, byId, showError } from "./dom.js";
import { acceptFiles, unknownWords } from "./drop.js";
import { Faces } from "./live-faces.js";
import { Talk } from "./live-talk.js";
import { LipstreamError, LipstreamPlayer } from "./lipstream.js";
import { fetchSample } from "./server.js";
import { describeError } from "./words.js";

/** Wider pictures are reduced to this width, which is comfortable for live encoding. */
const WIDTH = 720;
const INTERRUPTED_FOR_MS = 1500;
const NUMBERS_EVERY_MS = 200;
const STATES = {
  off: "Not started",
  preparing: "Preparing the face",
  connecting: "Connecting",
  reconnecting: "Connection lost. Trying again",
  waiting: "Waiting for speech",
  hearing: "Hearing you",
  speaking: "Speaking",
  interrupted: "Interrupted",
};

export class LiveView {
  #page;
  #faces;
  #talk;
  #player = null;
  #phase = "off";
  #speaking = false;
  #interruptedAt = -Infinity;
  #timer = 0;
  /** Counts starts and stops, so that work begun before the latest of them can be dropped. */
  #attempt = 0;

  /** @param {URL} page  address of the page; the server's is relative to it */
  constructor(page) {
    this.#page = page;
    this.#faces = new Faces(page, () => this.#faceChosen());
    this.#talk = new Talk({
      speech: (samples, rate) => this.#say(samples, rate),
      end: () => this.#player?.end(),
      begin: () => (this.#speaking ? this.interrupt() : this.#clearErrors()),
      fail: (error) => this.#fail(error),
      change: () => this.#refresh(),
    });
    this.#wire();
    this.#refresh();
  }

  /** The view is shown. */
  enter() {
    this.#watch(this.#faces.load());
  }

  /** The view is hidden: the microphone must not stay open unseen. */
  leave() {
    this.stop();
  }

  async start() {
    if (this.#phase !== "off") return;
    const attempt = ++this.#attempt;
    this.#clearErrors();
    this.#setPhase("preparing");
    try {
      await this.#faces.load();
      if (attempt !== this.#attempt) return;
      if (!this.#faces.chosen) throw new LipstreamError("no_face", "Add a picture first.");
      await this.#connect();
      if (attempt === this.#attempt) byId("talk").focus({ preventScroll: true });
    } catch (error) {
      if (attempt !== this.#attempt) return; // stopped, or already reported by the player's events
      this.stop();
      this.#fail(error);
    }
  }

  stop() {
    this.#attempt += 1;
    this.#talk.close();
    this.#player?.close();
    this.#player = null;
    this.#setPhase("off");
  }

  interrupt() {
    this.#player?.interrupt();
  }

  #wire() {
    byId("live-start").addEventListener("click", () => this.start());
    byId("live-stop").addEventListener("click", () => {
      this.stop();
      byId("live-start").focus();
    });
    byId("live-unmute").addEventListener("click", () => {
      this.#player?.unmute();
      byId("live-unmute").hidden = true;
    });
    byId("interrupt").addEventListener("click", () => this.interrupt());
    byId("view-live").addEventListener("keydown", ({ key }) => key === "Escape" && this.interrupt());
    byId("face-remove").addEventListener("click", () => this.#watch(this.#faces.remove()));
    onFile("live-picture-file", (file) => this.#addFace(file));
    onFile("live-speech-file", (file) => this.#send(file));
    byId("live-sample").addEventListener("click", async () => {
      const sample = await fetchSample(this.#page, "sample/speech", "sample.wav");
      if (sample) this.#send(sample);
    });
    acceptFiles(
      { picture: byId("live-face"), speech: byId("live-talk") },
      {
        picture: (file) => this.#addFace(file),
        speech: (file) => this.#send(file),
        unknown: (file) => showError(byId("live-error"), null, ...unknownWords(file)),
      },
      () => byId("view-live").hidden,
    );
  }

  async #connect() {
    const player = new LipstreamPlayer(byId("live-video"), new URL("ws/stream", this.#page), { avatar: this.#faces.chosen.id, width: WIDTH });
    this.#player = player;
    const on = (type, act) => player.addEventListener(type, ({ detail }) => this.#player === player && act(detail));
    on("ready", () => this.#setPhase("ready"));
    on("picture", () => (byId("live-stage").dataset.shows = "video"));
    on("speechstarted", (detail) => this.#speechStarted(detail));
    on("speechended", () => this.#speechOver());
    on("speechinterrupted", () => this.#interrupted());
    on("stats", (stats) => this.#showStats(stats));
    on("muted", () => (byId("live-unmute").hidden = false));
    on("reconnecting", () => this.#setPhase("reconnecting"));
    on("error", (error) => this.#heardError(error));
    on("closed", () => this.stop());
    this.#setPhase("connecting");
    await player.connect();
  }

  /** After another face was chosen, a running conversation continues with it. */
  async #faceChosen() {
    if (this.#phase === "off" || this.#phase === "preparing") return;
    this.stop();
    if (this.#faces.chosen) await this.start();
  }

  /** Sends a face again that the server has deleted, if it was added here. */
  async #heardError(error) {
    this.#fail(error);
    if (error.code !== "avatar_unknown" || !(await this.#faces.renew().catch(() => false))) return;
    showError(byId("live-face-error"), null, "The server no longer had this face", "It was sent again. Please start again.");
  }

  #addFace(file) {
    this.#watch(this.#faces.add(file), file);
  }

  async #send(file) {
    this.#clearErrors();
    if (this.#phase !== "ready") return showError(byId("live-error"), null, "Not started yet", "Start talking first, then send a recording.");
    await this.#watch(this.#talk.send(file));
  }

  #say(samples, rate) {
    try {
      this.#player?.speak(samples, rate);
    } catch (error) {
      this.#fail(error);
    }
  }

  #speechStarted({ latency_ms: latency }) {
    this.#speaking = true;
    if (latency !== null) byId("live-latency").textContent = milliseconds(latency);
    this.#refresh();
  }

  #speechOver() {
    this.#speaking = false;
    this.#refresh();
  }

  #interrupted() {
    this.#interruptedAt = performance.now();
    byId("live-waiting").textContent = "none"; // the next stats arrive within a second
    this.#speechOver();
    setTimeout(() => this.#refresh(), INTERRUPTED_FOR_MS);
  }

  #showStats(stats) {
    byId("live-waiting").textContent = stats.waiting_ms >= 100 ? `${(stats.waiting_ms / 1000).toFixed(1)} s` : "none";
    byId("live-dropped").textContent = String(stats.dropped);
  }

  #setPhase(phase) {
    if (phase === this.#phase) return;
    this.#phase = phase;
    clearInterval(this.#timer);
    if (phase === "ready") this.#timer = setInterval(() => (byId("live-buffer").textContent = milliseconds(this.#player.bufferedMs)), NUMBERS_EVERY_MS);
    else {
      this.#speaking = false;
      this.#interruptedAt = -Infinity;
      byId("live-stage").dataset.shows = "picture";
      byId("live-unmute").hidden = true;
      for (const number of ["latency", "buffer", "waiting", "dropped"]) byId(`live-${number}`).textContent = "–";
    }
    if (phase === "ready") announce("The face is live");
    this.#refresh();
  }

  get #state() {
    if (this.#phase !== "ready") return this.#phase;
    if (this.#speaking) return "speaking";
    if (performance.now() - this.#interruptedAt < INTERRUPTED_FOR_MS) return "interrupted";
    return this.#talk.hears ? "hearing" : "waiting";
  }

  #refresh() {
    if (!this.#talk) return; // it is still being created
    const state = this.#state;
    byId("live-state").dataset.state = state;
    if (byId("live-state-words").textContent !== STATES[state]) byId("live-state-words").textContent = STATES[state];
    byId("live-start").hidden = this.#phase !== "off";
    byId("live-stop").hidden = this.#phase === "off";
    byId("live-controls").disabled = this.#phase !== "ready";
  }

  /** Shows the error if something that was started here fails. */
  async #watch(action, file) {
    this.#clearErrors();
    try {
      await action;
    } catch (error) {
      this.#fail(error, file);
    }
  }

  /** A refused face is named, because another one is shown above the message. */
  #fail(error, file) {
    if (error.code === undefined) {
      showError(byId("live-error"), null, "Something went wrong in this page", "Reload it and try again.");
      throw error;
    }
    const { place, title } = describeError(error.code, "The conversation ended");
    if (place === "picture") showError(byId("live-face-error"), byId("live-picture-file"), file ? `${title}: ${file.name}` : title, error.message);
    else if (place === "speech") showError(byId("live-talk-error"), byId("live-speech-file"), title, error.message);
    else showError(byId("live-error"), null, title, error.message);
  }

  #clearErrors() {
    showError(byId("live-face-error"), byId("live-picture-file"));
    showError(byId("live-talk-error"), byId("live-speech-file"));
    showError(byId("live-error"), null);
  }
}

function onFile(id, act) {
  byId(id).addEventListener("change", () => {
    const [file] = byId(id).files;
    if (file) act(file);
    byId(id).value = "";
  });
}

function milliseconds(value) {
  return `${Math.round(value / 10) * 10} ms`;
}

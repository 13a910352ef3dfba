// START HERE to put a talking face on a page of your own: the client of /ws/stream (docs/streaming.md).
//
//   import { LipstreamPlayer } from "./lipstream.js";
//   const player = new LipstreamPlayer(document.querySelector("video"), "wss://example.org/ws/stream", { avatar: "5f0c…" });
//   player.addEventListener("speechended", () => console.log("done"));
//   await player.connect();      // on a click, otherwise the browser refuses to play sound
//   player.speak(samples, 24000);
//   player.end();
//
// No dependencies; copy this file and the four lipstream-*.js next to it.

import { CanvasScreen } from "./lipstream-canvas.js";
import { Connection, LipstreamError, sessionStart } from "./lipstream-connection.js";
import { SpeechQueue } from "./lipstream-pcm.js";
import { VideoScreen, playsFragments } from "./lipstream-video.js";

export { LipstreamError };

/** The likely type of fmp4, to ask the browser about before the server says it. */
const LIKELY_MIME = 'video/mp4; codecs="avc1.42C01E, mp4a.40.2"';
const RECONNECT_PAUSES_MS = [100, 500, 1000, 2000, 4000, 4000];
/** Errors that may be gone at the next attempt to reconnect: the server may not have ended the lost session yet. */
const PASSING = new Set(["unreachable", "connection_lost", "server_busy", "not_ready"]);
/** How much speech may wait in the server, so that an interrupt never queues behind it. */
const SEND_AHEAD_MS = 30_000;
const TICK_MS = 25;
/** If the picture of an event does not appear because the stream has stalled, the event is reported after this time. */
const EVENT_PATIENCE_MS = 2000;
const CLOSED = () => new LipstreamError("closed", "The player was closed.");

/**
 * @typedef {object} Options
 * @property {string} [avatar]  id of a picture uploaded to /v1/avatars; either this or `image`
 * @property {Blob} [image]  a picture
 * @property {number} [faceIndex]  which face speaks, counted from left to right from 0; the avatar's or the largest by default
 * @property {string} [engine]  "auto" (default), "portrait", "wav2lip"
 * @property {string} [idle]  "natural" (default), "still"
 * @property {number} [seed]  the same seed gives the same idle motion
 * @property {number} [fps]  25 by default
 * @property {number} [width]  of the video, pixels; the picture's by default
 * @property {number} [sampleRate]  of the speech that is sent, 8000 to 48000 Hz; 48000 by default
 * @property {string} [container]  "fmp4", "mjpeg"; by default what the browser can play
 * @property {boolean} [reconnect]  after a lost connection; true by default
 * @property {number} [queueSeconds]  how much speech may wait here; 600 by default
 */

/**
 * One talking face. Its events are CustomEvents with data in `detail`. Those of the server are fired when they are *seen*:
 * "speechstarted" {utterance, latency_ms}, "speechended" {utterance, duration_ms}, "speechinterrupted" {utterance,
 * heard_ms, after_ms}. The others are "ready" (session.ready), "picture" (the first one is shown), "stats", "muted" (the
 * browser refuses sound: call unmute() on a click), "reconnecting" {attempt}, "error" (LipstreamError) and finally
 * "closed".
 */
export class LipstreamPlayer extends EventTarget {
  /** "closed", "connecting" or "ready". */
  state = "closed";
  #element;
  #url;
  #options;
  #container;
  #connection = null;
  #screen = null;
  #queue;
  #due = [];
  #held = 0;
  #limit = SEND_AHEAD_MS;
  /** When each utterance that has not been seen yet began; null for those that had to wait their turn. */
  #begun = [];
  #between = true;
  #interrupted = null;
  #timer = 0;
  /** Rejects the promise of connect(). */
  #giveUp = () => {};

  /**
   * @param {HTMLVideoElement | HTMLCanvasElement} element  where the face appears; on a canvas always as mjpeg
   * @param {string | URL} url  of /ws/stream
   * @param {Options} options
   */
  constructor(element, url, options = {}) {
    super();
    this.#element = element;
    this.#url = new URL(url, location.href);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#options = { sampleRate: 48_000, reconnect: true, queueSeconds: 600, ...options };
    this.#container = options.container ?? (element instanceof HTMLVideoElement && playsFragments(LIKELY_MIME) ? "fmp4" : "mjpeg");
    this.#queue = new SpeechQueue(this.#options.sampleRate, this.#options.queueSeconds);
  }

  /** The element that shows the face: the given one, or the canvas that replaced it. */
  get element() {
    return this.#screen?.element ?? this.#element;
  }

  /** How much media has been received and not yet shown, milliseconds. */
  get bufferedMs() {
    return 1000 * (this.#screen?.ahead ?? 0);
  }

  /** The time of the stream that is shown, milliseconds; -1 before the first picture. */
  get timeMs() {
    const time = this.#screen?.time ?? -1;
    return time < 0 ? -1 : 1000 * time;
  }

  /**
   * Opens the session.
   *
   * @returns {Promise<object>} the server's session.ready
   * @throws {LipstreamError}
   */
  async connect() {
    if (this.state !== "closed") throw new LipstreamError("already_started", "This player is already connected.");
    this.state = "connecting";
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    try {
      return await this.#open();
    } catch (error) {
      if (this.state !== "closed") this.#finish(error);
      throw error;
    }
  }

  /**
   * Sends more of the current utterance. The first piece begins an utterance.
   *
   * @param {Float32Array | Int16Array} pcm  mono: floats in [-1, 1] or 16-bit integers; any length
   * @param {number} [rate]  Hz; the session's rate by default
   * @returns {boolean} false if it was not accepted, because there is no connection at the moment
   * @throws {LipstreamError} queue_full
   */
  speak(pcm, rate = this.#options.sampleRate) {
    if (this.state !== "ready") return false;
    if (!this.#queue.add(pcm, rate)) throw new LipstreamError("queue_full", `More than ${this.#options.queueSeconds} seconds of speech are already waiting.`);
    if (this.#between) this.#begun.push(this.#screen.quiet ? performance.now() : null);
    this.#between = false;
    this.#pump();
    return true;
  }

  /** Ends the utterance. */
  end() {
    if (this.state !== "ready") return;
    this.#queue.addEnd();
    this.#between = true;
    this.#pump();
  }

  /** Falls silent at once: discards all speech that has not been heard yet. "speechinterrupted" follows when it is seen. */
  interrupt() {
    if (this.state !== "ready") return;
    this.#queue.clear();
    this.#begun = [];
    this.#between = true;
    this.#interrupted ??= performance.now();
    this.#screen?.hush();
    this.#connection.send({ type: "interrupt" });
  }

  /** Turns on the sound after a "muted" event; call it on a click. */
  unmute() {
    this.#screen?.unmute();
  }

  /** Ends the session. "closed" follows at once. */
  close() {
    this.#finish(null);
  }

  /** One connection, from opening it to session.ready. */
  async #open() {
    const start = await sessionStart(this.#options, this.#container);
    return new Promise((resolve, reject) => {
      if (this.state === "closed") return reject(CLOSED());
      this.#giveUp = reject;
      this.#connection = new Connection(this.#url, start, {
        media: (media) => this.#screen?.append(media),
        message: (message) => {
          if (message.type !== "session.ready") this.#hear(message);
          else if (message.container === "fmp4" && !playsFragments(message.mime)) {
            this.#container = "mjpeg"; // the browser plays MP4, but not this kind: try again with JPEG
            this.#abandon();
            resolve(this.#open());
          } else {
            this.#begin(message);
            resolve(message);
          }
        },
        ended: (error) => {
          if (this.state === "ready") this.#ended(error);
          else reject(error ?? CLOSED());
        },
      });
    });
  }

  #begin(ready) {
    const tell = {
      onProblem: (words) => this.#finish(new LipstreamError("cannot_play", `This browser cannot play the stream: ${words}`)),
      onMuted: () => this.#dispatch("muted"),
      onPicture: () => this.#dispatch("picture"),
    };
    this.#screen = ready.container === "fmp4" ? new VideoScreen(this.#element, ready, tell) : new CanvasScreen(this.#element, ready, tell);
    this.#limit = Math.min(SEND_AHEAD_MS, ready.buffer_ms / 3);
    this.#held = 0;
    this.state = "ready";
    this.#dispatch("ready", ready);
  }

  #hear(message) {
    switch (message.type) {
      case "speech.started":
      case "speech.ended":
      case "speech.interrupted":
        return this.#heardSpeech(message);
      case "stats":
        this.#held = message.buffered_ms;
        return this.#dispatch("stats", this.#stats(message));
      case "error":
        return this.#dispatch("error", new LipstreamError(message.code, message.message));
    }
  }

  #stats(message) {
    return {
      ...message,
      dropped: message.dropped + this.#screen.dropped,
      waiting_ms: message.buffered_ms + this.#queue.milliseconds,
      ahead_ms: this.bufferedMs,
      playback_rate: this.#screen.rate,
      round_trip_ms: this.#connection.roundTripMs,
    };
  }

  /** The server announces what it sends; the page is told when it is on the screen. */
  #heardSpeech(message) {
    const due = { at: message.at_ms, until: performance.now() + EVENT_PATIENCE_MS, message };
    if (message.type === "speech.interrupted") {
      const unheard = Math.max(0, message.at_ms - Math.max(0, this.timeMs));
      due.heard = Math.max(0, message.played_ms - unheard);
      due.since = this.#interrupted;
      this.#interrupted = null;
      this.#held = 0;
      this.#screen.skipTo(message.at_ms / 1000);
    }
    if (message.type === "speech.started") this.#screen.quiet = false;
    this.#due.push(due);
    this.#tick();
  }

  #tick() {
    const now = performance.now();
    while (this.#due.length > 0 && (this.timeMs >= this.#due[0].at || now > this.#due[0].until)) this.#show(this.#due.shift(), now);
    if (this.state === "ready") this.#pump();
  }

  #show({ message, heard, since }, now) {
    const { type, ...detail } = message;
    if (type === "speech.started") {
      const begun = this.#begun.shift() ?? null;
      detail.latency_ms = begun === null ? null : now - begun;
    } else if (type === "speech.interrupted") {
      detail.heard_ms = heard;
      detail.after_ms = since === null ? null : now - since;
    }
    this.#screen.quiet = type !== "speech.started";
    this.#dispatch(type.replace(".", ""), detail);
  }

  /** Sends speech as long as the server has room for it. */
  #pump() {
    while (this.#held < this.#limit && this.#connection.flows) {
      const piece = this.#queue.take();
      if (piece === undefined) return;
      if (piece === null) this.#connection.send({ type: "audio.end" });
      else {
        this.#connection.sendAudio(piece);
        this.#held += (piece.length / this.#options.sampleRate) * 1000;
      }
    }
  }

  /** The connection of a running session has ended: finishes, or tries to reconnect. */
  #ended(error) {
    this.#abandon();
    if (error?.code === "connection_lost" && this.#options.reconnect) this.#reconnect(error);
    else this.#finish(error);
  }

  async #reconnect(lost) {
    this.state = "connecting";
    for (const [index, pause] of RECONNECT_PAUSES_MS.entries()) {
      this.#dispatch("reconnecting", { attempt: index + 1 });
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (this.state === "closed") return;
      try {
        await this.#open();
        return;
      } catch (error) {
        if (this.state === "closed") return;
        if (!PASSING.has(error.code)) return this.#finish(error);
      }
    }
    this.#finish(lost);
  }

  /** Releases the connection, its screen and everything that was in progress. */
  #abandon() {
    this.#connection?.close();
    this.#screen?.close();
    this.#connection = this.#screen = null;
    this.#queue.clear();
    this.#due = [];
    this.#begun = [];
    this.#between = true;
    this.#interrupted = null;
  }

  #finish(error) {
    if (this.state === "closed") return;
    clearInterval(this.#timer);
    this.state = "closed";
    this.#abandon();
    this.#giveUp(error ?? CLOSED());
    if (error) this.#dispatch("error", error);
    this.#dispatch("closed", { error });
  }

  #dispatch(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

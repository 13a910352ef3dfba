// One WebSocket connection to /ws/stream: the first message, JSON in and out, the round-trip time, and why it ended.

const PROTOCOL_VERSION = 1;
const PING_EVERY_MS = 1000;

/** What went wrong: the server's stable code, or "unreachable", "connection_lost", "cannot_play", "queue_full". */
export class LipstreamError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "LipstreamError";
    this.code = code;
  }
}

/**
 * @typedef {object} Hear  callbacks; none is called after {@link Connection.close}
 * @property {(message: object) => void} message  from the server, except "pong" and fatal errors
 * @property {(media: ArrayBuffer) => void} media
 * @property {(error: LipstreamError | null) => void} ended  by the server or the network; null if the client asked for it
 */

export class Connection {
  /** Round-trip time in milliseconds, null until it is known. */
  roundTripMs = null;
  #socket;
  #hear;
  #opened = false;
  #failure = null;
  #pings = 0;
  #pingAt = 0;
  #timer = 0;

  /**
   * @param {URL} url
   * @param {object} start  session.start, without type and version
   * @param {Hear} hear
   */
  constructor(url, start, hear) {
    this.#hear = hear;
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => {
      this.#opened = true;
      this.send({ type: "session.start", version: PROTOCOL_VERSION, ...start });
      this.#timer = setInterval(() => this.#ping(), PING_EVERY_MS);
    };
    this.#socket.onmessage = ({ data }) => (typeof data === "string" ? this.#heard(JSON.parse(data)) : this.#hear.media(data));
    this.#socket.onclose = ({ code }) => {
      clearInterval(this.#timer);
      this.#hear.ended(this.#failure ?? this.#reason(code));
    };
  }

  /** Whether the network keeps up with what is sent. */
  get flows() {
    return this.#socket.bufferedAmount < 1 << 18;
  }

  send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {Int16Array} pcm */
  sendAudio(pcm) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(pcm);
  }

  /** Ends the session. */
  close() {
    clearInterval(this.#timer);
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.send({ type: "session.stop" });
    this.#socket.close(1000);
  }

  #heard(message) {
    if (message.type === "pong") {
      if (message.id === this.#pings) this.roundTripMs = performance.now() - this.#pingAt;
    } else if (message.type === "error" && message.fatal) {
      this.#failure = new LipstreamError(message.code, message.message);
    } else this.#hear.message(message);
  }

  #ping() {
    this.#pings += 1;
    this.#pingAt = performance.now();
    this.send({ type: "ping", id: this.#pings });
  }

  #reason(code) {
    if (!this.#opened) return new LipstreamError("unreachable", "The server does not answer. Check that it is running and that this device can reach it.");
    if (code === 1000) return null;
    return new LipstreamError("connection_lost", `The connection to the server ended (code ${code}).`);
  }
}

/**
 * The fields of session.start for a player's options.
 *
 * @param {import("./lipstream.js").Options} options
 * @param {string} container
 */
export async function sessionStart(options, container) {
  const { avatar, image, faceIndex, engine, idle, seed, fps, width, sampleRate } = options;
  return {
    ...(image ? { image: await base64(image) } : { avatar }),
    ...(faceIndex !== undefined && { face_index: faceIndex }),
    ...(engine && { engine }),
    ...(idle && { idle }),
    ...(seed !== undefined && { seed }),
    audio: { encoding: "pcm_s16le", sample_rate: sampleRate, channels: 1 },
    video: { container, ...(fps && { fps }), ...(width && { width }) },
  };
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new LipstreamError("unreadable", "The picture can no longer be read."));
    reader.readAsDataURL(blob);
  });
}

// A client of /ws/lipsync (docs/protocol.md): one connection, any number of jobs one after another.

import { isClip } from "./clip.js";

const CONNECT_PAUSES_MS = [0, 500, 1500, 3000];
/** Close codes after which it is pointless to send the same again: unsupported data, policy, message too big. */
const FINAL_CLOSE_CODES = new Set([1003, 1008, 1009]);

/** What went wrong, with the server's stable code, or one of ours: "unreachable", "connection_lost". */
export class LipsyncError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class LipsyncClient {
  #url;
  #socket = null;
  #jobs = 0;

  /** @param {URL} page  address of the page; the socket's is relative to it */
  constructor(page) {
    this.#url = new URL("ws/lipsync", page);
    this.#url.protocol = page.protocol === "https:" ? "wss:" : "ws:";
    this.#url.search = this.#url.hash = "";
  }

  /**
   * Renders one video.
   *
   * @param {{portrait: File, audio: Blob}} job  the portrait is a picture or a clip
   * @param {{signal: AbortSignal, onPhase: (phase: object) => void}} control
   *   `onPhase` is called with {name: "connecting", attempt}, {name: "sending", done, total} in bytes,
   *   {name: "preparing"} and {name: "drawing", done, total} in frames. Aborting closes the connection, which stops
   *   the server's work.
   * @returns {Promise<Blob>} the MP4
   * @throws {LipsyncError} or the signal's reason
   */
  async render({ portrait, audio }, { signal, onPhase }) {
    const id = String(++this.#jobs);
    const [portraitText, audioText] = await Promise.all([base64(portrait), base64(audio)]);
    const field = isClip(portrait) ? "video" : "image";
    const message = JSON.stringify({ id, [field]: portraitText, audio: audioText, progress: true });
    for (let attempt = 1; ; attempt++) {
      const socket = await this.#connected(signal, onPhase);
      try {
        return await this.#exchange(socket, id, message, signal, onPhase);
      } catch (error) {
        if (error.code !== "connection_lost" || attempt > 1) throw error;
      }
    }
  }

  async #connected(signal, onPhase) {
    if (this.#socket?.readyState === WebSocket.OPEN) return this.#socket;
    for (const [index, pause] of CONNECT_PAUSES_MS.entries()) {
      onPhase({ name: "connecting", attempt: index + 1 });
      await sleep(pause, signal);
      const socket = await open(this.#url, signal);
      if (socket) return (this.#socket = socket);
    }
    throw new LipsyncError("unreachable", "Check that lipstream is running and that this device can reach it, then try again.");
  }

  #exchange(socket, id, message, signal, onPhase) {
    return new Promise((resolve, reject) => {
      const watch = setInterval(() => {
        const left = socket.bufferedAmount;
        onPhase(left > 0 ? { name: "sending", done: message.length - left, total: message.length } : { name: "preparing" });
        if (left === 0) clearInterval(watch);
      }, 100);
      const settle = (finish, value) => {
        clearInterval(watch);
        signal.removeEventListener("abort", abort);
        socket.onmessage = socket.onclose = null;
        finish(value);
      };
      const abort = () => {
        socket.close(1000, "cancelled");
        settle(reject, signal.reason);
      };
      signal.addEventListener("abort", abort);
      socket.onclose = ({ code }) => settle(reject, closedEarly(code));
      socket.onmessage = ({ data }) => {
        const answer = JSON.parse(data);
        if ("id" in answer && answer.id !== null && answer.id !== id) return;
        clearInterval(watch);
        if (answer.status === "progress") onPhase({ name: "drawing", done: answer.done, total: answer.total });
        else if (answer.status === "success") settle(resolve, mp4(answer.video));
        else settle(reject, new LipsyncError(answer.code, answer.message));
      };
      onPhase({ name: "sending", done: 0, total: message.length });
      socket.send(message);
    });
  }
}

function closedEarly(code) {
  if (code === 1009) return new LipsyncError("message_too_large", "Choose a smaller picture, or a shorter or compressed recording (MP3, M4A or OGG instead of WAV).");
  if (FINAL_CLOSE_CODES.has(code)) return new LipsyncError("refused", `The server closed the connection (code ${code}).`);
  return new LipsyncError("connection_lost", "The server stopped answering before the video was done. Try again.");
}

/** An open socket, or null if it could not be opened. */
function open(url, signal) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    const abort = () => {
      socket.close();
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    socket.onopen = () => {
      signal.removeEventListener("abort", abort);
      socket.onclose = null;
      resolve(socket);
    };
    socket.onclose = () => {
      signal.removeEventListener("abort", abort);
      resolve(null);
    };
  });
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", abort, { once: true });
  });
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new LipsyncError("unreadable", "The file can no longer be read. Choose it again."));
    reader.readAsDataURL(blob);
  });
}

function mp4(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Blob([bytes], { type: "video/mp4" });
}

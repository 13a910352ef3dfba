// JPEG and PCM on a <canvas> and WebAudio, for browsers without Media Source. The sound card is the clock.

const HEADER_BYTES = 24;
/** How far ahead sound is scheduled, in seconds. It grows when the network stutters. */
const TARGET = { first: 0.1, most: 0.5, growth: 1.35, decayPerFrame: 0.0003 };
/** If sound is scheduled further ahead than this, it is discarded to be live again. */
const SKIP_SECONDS = 0.5;
/** While nobody speaks, smaller differences are corrected too, because that is inaudible. */
const QUIET_DIFFERENCE_SECONDS = 0.06;
/** How many pictures may wait to be shown. If there are more, the oldest are dropped. */
const QUEUE_PICTURES = 60;
const SUSPENDED_AFTER_MS = 400;

export class CanvasScreen {
  dropped = 0;
  rate = 1;
  quiet = true; // for the player; here the sound itself shows whether somebody speaks
  #canvas;
  #video = null;
  #brush;
  #ready;
  #tell;
  #context;
  #gain;
  #origin = null;
  #target = TARGET.first;
  #playing = new Set();
  #pictures = [];
  #shown = -1;
  #newest = 0;
  #frame = 0;
  #closed = false;

  /**
   * @param {HTMLCanvasElement | HTMLVideoElement} element  a canvas, or a video, which is then hidden behind a new canvas
   * @param {{fps_exact: string, audio_rate: number, audio_channels: number, width: number, height: number}} ready
   * @param {{onProblem: (words: string) => void, onMuted: () => void, onPicture: () => void}} tell
   */
  constructor(element, ready, tell) {
    const [frames, seconds] = ready.fps_exact.split("/").map(Number);
    this.#ready = { ...ready, fps: frames / seconds };
    this.#tell = tell;
    this.#canvas = element instanceof HTMLCanvasElement ? element : this.#canvasFor(element);
    this.#canvas.width = ready.width;
    this.#canvas.height = ready.height;
    this.#brush = this.#canvas.getContext("2d");
    // At the sample rate of the speech, pieces of sound join exactly. The browser resamples their sum.
    this.#context = new AudioContext({ sampleRate: ready.audio_rate, latencyHint: "interactive" });
    this.#gain = new GainNode(this.#context);
    this.#gain.connect(this.#context.destination);
    this.#context.resume().catch(() => {});
    setTimeout(() => this.#context.state === "suspended" && !this.#closed && tell.onMuted(), SUSPENDED_AFTER_MS);
    this.#draw();
  }

  get element() {
    return this.#canvas;
  }

  get time() {
    if (this.#shown < 0) return -1;
    return this.#running ? this.#now : this.#shown / this.#ready.fps;
  }

  get ahead() {
    return this.#running && this.#shown >= 0 ? Math.max(0, this.#newest - this.#now) : 0;
  }

  /** @param {ArrayBuffer} media  header, JPEG, PCM */
  append(media) {
    const view = new DataView(media);
    const [jpegBytes, pcmBytes] = [view.getUint32(16, true), view.getUint32(20, true)];
    if (HEADER_BYTES + jpegBytes + pcmBytes !== media.byteLength) return this.#tell.onProblem("A frame does not have the length that its header says.");
    const index = Number(view.getBigUint64(0, true));
    this.#newest = (index + 1) / this.#ready.fps;
    this.#schedule(Number(view.getBigUint64(8, true)), new DataView(media, HEADER_BYTES + jpegBytes, pcmBytes));
    this.#decode(index, new Blob([new Uint8Array(media, HEADER_BYTES, jpegBytes)], { type: "image/jpeg" }));
  }

  hush() {
    this.#gain.gain.value = 0;
  }

  skipTo(time) {
    this.#silence();
    const wanted = this.#pictures.findIndex((picture) => picture.index / this.#ready.fps >= time);
    for (const picture of this.#pictures.splice(0, wanted < 0 ? this.#pictures.length : wanted)) picture.bitmap.close();
    this.#origin = null; // is set again by the next media
    this.#gain.gain.value = 1;
  }

  unmute() {
    this.#context.resume().catch(() => {});
  }

  close() {
    this.#closed = true;
    cancelAnimationFrame(this.#frame);
    this.#silence();
    this.#context.close();
    for (const { bitmap } of this.#pictures.splice(0)) bitmap.close();
    if (this.#video) {
      this.#canvas.remove();
      this.#video.style.display = "";
    }
  }

  get #running() {
    return this.#context.state === "running" && this.#origin !== null;
  }

  /** The time of the stream that is heard now, seconds. */
  get #now() {
    return this.#context.currentTime - (this.#context.outputLatency || 0) - this.#origin;
  }

  #canvasFor(video) {
    const canvas = document.createElement("canvas");
    canvas.className = video.className;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", video.getAttribute("aria-label") ?? "Talking face");
    video.after(canvas);
    video.style.display = "none";
    this.#video = video;
    return canvas;
  }

  #schedule(first, pcm) {
    const { audio_rate: rate, audio_channels: channels } = this.#ready;
    const time = first / rate;
    const now = this.#context.currentTime;
    const samples = pcm.byteLength / 2;
    const quiet = isSilent(pcm);
    const ahead = this.#origin === null ? -Infinity : this.#origin + time - now;
    this.#target = Math.max(TARGET.first, this.#target * (1 - TARGET.decayPerFrame));
    if (ahead < 0 || ahead > this.#target + SKIP_SECONDS || (quiet && ahead > this.#target + QUIET_DIFFERENCE_SECONDS)) {
      if (ahead < 0 && this.#origin !== null) this.#target = Math.min(TARGET.most, this.#target * TARGET.growth);
      if (ahead > 0) this.#silence();
      this.#origin = Math.ceil((now + this.#target - time) * rate) / rate; // whole samples, so that pieces join
    }
    if (quiet || this.#context.state !== "running") return;
    const buffer = new AudioBuffer({ length: samples / channels, numberOfChannels: channels, sampleRate: rate });
    for (let channel = 0; channel < channels; channel++) {
      const data = buffer.getChannelData(channel);
      for (let i = 0; i < data.length; i++) data[i] = pcm.getInt16(2 * (i * channels + channel), true) / 32768;
    }
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.#gain);
    source.onended = () => this.#playing.delete(source);
    this.#playing.add(source);
    source.start(this.#origin + time);
  }

  #silence() {
    for (const source of this.#playing) source.stop();
    this.#playing.clear();
  }

  async #decode(index, jpeg) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(jpeg);
    } catch {
      return this.#tell.onProblem("A frame cannot be decoded.");
    }
    if (this.#closed) return bitmap.close();
    this.#pictures.push({ index, bitmap });
    this.#pictures.sort((one, other) => one.index - other.index); // decoders may finish out of order
    if (this.#pictures.length > QUEUE_PICTURES) {
      this.#pictures.shift().bitmap.close();
      this.dropped += 1;
    }
  }

  /** Shows the newest picture that is due. Without sound (before the first click), shows the newest of all. */
  #draw() {
    this.#frame = requestAnimationFrame(() => this.#draw());
    const due = this.#running ? this.#now : Infinity;
    let last = -1;
    while (this.#pictures[last + 1]?.index / this.#ready.fps <= due) last += 1;
    if (last < 0) return;
    const passed = this.#pictures.splice(0, last + 1);
    const { index, bitmap } = passed[last];
    this.#brush.drawImage(bitmap, 0, 0, this.#canvas.width, this.#canvas.height);
    for (const picture of passed) picture.bitmap.close();
    if (this.#shown < 0) this.#tell.onPicture();
    this.#shown = index;
  }
}

function isSilent(pcm) {
  for (let at = 0; at + 1 < pcm.byteLength; at += 2) if (pcm.getInt16(at, true) !== 0) return false;
  return true;
}

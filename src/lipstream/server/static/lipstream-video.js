// Plays MP4 fragments in a <video> with Media Source, close to the live edge.

/** Target distance of playback behind the newest media, in seconds. It grows when the network stutters. */
const TARGET = { first: 0.2, most: 0.8, growth: 1.35, decayPerSecond: 0.004 };
/** Further behind than this, catching up would take too long, so skip. While nobody speaks, nothing is lost by it. */
const SKIP_SECONDS = { speaking: 0.6, quiet: 0.2 };
/** A seek takes a moment itself, so wait this long before the next one. */
const SKIP_PAUSE_MS = 1500;
const RATE = { least: 0.95, most: 1.1, gain: 0.5, deadband: 0.03, step: 0.01 };
/** Weight of the newest measurement: media arrives in pieces, so the amount that is buffered fluctuates. */
const SMOOTHING = 0.15;
/** An interrupted stretch shorter than this is played to its end silently, which is faster than a seek. */
const PLAY_THROUGH_SECONDS = 0.5;
const KEEP_SECONDS = { atMost: 12, atLeast: 4 };
/** How many fragments may wait for the source buffer. If there are more, the oldest are dropped, and the decoder continues
 * at the next key frame. */
const QUEUE_FRAGMENTS = 250;
const STEER_EVERY_MS = 50;

/** Media Source, or what iPhones have instead of it; undefined if there is neither. */
const Source = () => window.MediaSource ?? window.ManagedMediaSource;

/** Whether this browser can play fragments of type `mime`. */
export function playsFragments(mime) {
  return Source()?.isTypeSupported(mime) ?? false;
}

/** A screen shows the media of one session. {@link CanvasScreen} is the other kind. */
export class VideoScreen {
  /** How many fragments were dropped here. */
  dropped = 0;
  /** Whether nobody speaks in the media that has been received. */
  quiet = true;
  #video;
  #source;
  #buffer = null;
  #mime;
  #url;
  #queue = [];
  #appending = [];
  #target = TARGET.first;
  #ahead = 0;
  #smooth = TARGET.first;
  #skip = null;
  #skippedAt = -Infinity;
  #hushed = false;
  #started = false;
  #events = new AbortController();
  #timer;
  #tell;

  /**
   * @param {HTMLVideoElement} video
   * @param {{mime: string}} ready  the server's session.ready
   * @param {{onProblem: (words: string) => void, onMuted: () => void, onPicture: () => void}} tell
   */
  constructor(video, ready, tell) {
    this.#video = video;
    this.#mime = ready.mime;
    this.#tell = tell;
    this.#source = new (Source())();
    video.disableRemotePlayback = true; // ManagedMediaSource only opens without AirPlay
    const signal = this.#events.signal;
    this.#source.addEventListener("sourceopen", () => this.#open(), { signal, once: true });
    video.addEventListener("error", () => tell.onProblem(video.error?.message || "The video cannot be decoded."), { signal });
    video.addEventListener("waiting", () => this.#stalled(), { signal });
    video.addEventListener("loadeddata", () => tell.onPicture(), { signal });
    this.#url = URL.createObjectURL(this.#source);
    video.src = this.#url;
    this.#timer = setInterval(() => {
      this.#target = Math.max(TARGET.first, this.#target * (1 - (TARGET.decayPerSecond * STEER_EVERY_MS) / 1000));
      this.#smooth += SMOOTHING * (this.#ahead - this.#smooth);
      this.#steer();
      this.#setRate();
    }, STEER_EVERY_MS);
  }

  /** What the page should show. */
  get element() {
    return this.#video;
  }

  /** The time of the stream that is shown, seconds; -1 before the first picture. */
  get time() {
    return this.#started ? this.#video.currentTime : -1;
  }

  /** How much media has been received and not yet shown, seconds. */
  get ahead() {
    return this.#ahead;
  }

  get rate() {
    return this.#video.playbackRate;
  }

  /** @param {ArrayBuffer} media  the init segment first, then fragments */
  append(media) {
    this.#queue.push(media);
    if (this.#queue.length > QUEUE_FRAGMENTS) {
      this.#queue.splice(this.#buffer ? 0 : 1, 1); // before the buffer is open, the init segment is the first
      this.dropped += 1;
    }
    this.#feed();
  }

  /** Mutes at once, until the time of {@link skipTo} is reached. */
  hush() {
    if (this.#video.muted) return;
    this.#hushed = true;
    this.#video.muted = true;
  }

  /** Skips everything before this time of the stream, in seconds. */
  skipTo(time) {
    this.#skip = time;
    this.#steer();
  }

  /** Turns on the sound after the browser had refused it; call it on a click. */
  unmute() {
    this.#video.muted = false;
  }

  close() {
    clearInterval(this.#timer);
    this.#events.abort();
    this.#unhush();
    this.#video.playbackRate = 1;
    this.#video.removeAttribute("src");
    this.#video.load();
    URL.revokeObjectURL(this.#url);
  }

  #open() {
    URL.revokeObjectURL(this.#url);
    this.#buffer = this.#source.addSourceBuffer(this.#mime);
    const signal = this.#events.signal;
    this.#buffer.addEventListener("updateend", () => this.#updated(), { signal });
    this.#feed();
  }

  #updated() {
    this.#feed();
    this.#steer();
  }

  #feed() {
    if (!this.#buffer || this.#buffer.updating || this.#source.readyState !== "open" || this.#video.error) return;
    if (this.#appending.length === 0) this.#appending = this.#queue.splice(0);
    if (this.#appending.length === 0) return;
    try {
      this.#buffer.appendBuffer(joined(this.#appending));
      this.#appending = [];
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
      this.#trim(0.5); // its updateend tries again
    }
  }

  /** Removes media that has been shown. */
  #trim(keepSeconds) {
    const until = this.#video.currentTime - keepSeconds;
    if (until > 0 && !this.#buffer.updating) this.#buffer.remove(0, until);
  }

  #stalled() {
    if (this.#started && !this.#video.seeking) this.#target = Math.min(TARGET.most, this.#target * TARGET.growth);
  }

  /** Keeps playback close to the live edge: corrects small differences by the playback rate, large ones and gaps by a
   * seek. */
  #steer() {
    const video = this.#video;
    const ranges = video.buffered;
    if (ranges.length === 0 || video.seeking) return;
    const newest = ranges.length - 1;
    const [start, end] = [ranges.start(newest), ranges.end(newest)];
    this.#ahead = Math.max(0, end - video.currentTime);
    if (!this.#started) {
      if (this.#ahead >= this.#target) this.#start(Math.max(start, end - this.#target));
      return;
    }
    if (this.#skip !== null) return this.#finishSkip(end);
    const inGap = video.currentTime < start && !plays(ranges, video.currentTime);
    const late = this.#ahead - this.#target > (this.quiet ? SKIP_SECONDS.quiet : SKIP_SECONDS.speaking);
    const maySkip = performance.now() - this.#skippedAt > SKIP_PAUSE_MS;
    if (inGap || (late && maySkip)) this.#seek(Math.max(start, end - this.#target));
    if (video.currentTime - ranges.start(0) > KEEP_SECONDS.atMost) this.#trim(KEEP_SECONDS.atLeast);
  }

  /** Moves towards the end of an interrupted stretch. */
  #finishSkip(end) {
    const left = this.#skip - this.#video.currentTime;
    if (left <= 0) {
      this.#skip = null;
      this.#unhush();
    } else if (left > PLAY_THROUGH_SECONDS && end > this.#skip) this.#seek(this.#skip);
  }

  #setRate() {
    const difference = this.#smooth - this.#target;
    const wanted = Math.abs(difference) < RATE.deadband ? 1 : 1 + RATE.gain * difference;
    const rate = Math.max(RATE.least, Math.min(RATE.most, Math.round(wanted / RATE.step) * RATE.step));
    if (this.#video.playbackRate !== rate) this.#video.playbackRate = rate;
  }

  async #start(time) {
    this.#started = true;
    if (time > this.#video.currentTime) this.#seek(time);
    try {
      await this.#video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return; // closed in the meantime
      this.#video.muted = true; // before the first click on the page, browsers only play muted videos
      this.#tell.onMuted();
      await this.#video.play().catch(() => {});
    }
  }

  #seek(time) {
    this.#skippedAt = performance.now();
    this.#smooth = this.#target;
    this.#video.currentTime = time;
    this.#video.playbackRate = 1;
  }

  #unhush() {
    if (this.#hushed) this.#video.muted = false;
    this.#hushed = false;
  }
}

/** Whether media at `time` and shortly after it is buffered. */
function plays(ranges, time) {
  for (let i = 0; i < ranges.length; i++) if (ranges.start(i) <= time && time < ranges.end(i) - 0.05) return true;
  return false;
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(new Uint8Array(part), at);
    at += part.byteLength;
  }
  return whole;
}

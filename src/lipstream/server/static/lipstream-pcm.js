// Speech to be sent: converts it to 16-bit PCM at the session's rate, and holds it until the server has room for it.

const TAPS = 32;
const PIECE_SECONDS = 0.5;

/** Resamples mono sound that arrives in chunks of any size with a windowed sinc, without clicks between chunks. */
export class Resampler {
  #up;
  #down;
  #kernels;
  #kept = new Float32Array(TAPS / 2);
  /** Position of the next output sample, in 1 / up of an input sample, counted from the first sample kept. */
  #position;

  /** @param {number} from  Hz, whole @param {number} to  Hz, whole */
  constructor(from, to) {
    const common = divisor(from, to);
    this.#up = to / common;
    this.#down = from / common;
    this.#position = (TAPS / 2) * this.#up;
    this.#kernels = Array.from({ length: this.#up }, (_, phase) => kernel(phase / this.#up, Math.min(1, to / from)));
  }

  /** @param {Float32Array} samples @returns {Float32Array} what is final by now; TAPS / 2 samples are held back */
  push(samples) {
    const all = new Float32Array(this.#kept.length + samples.length);
    all.set(this.#kept);
    all.set(samples, this.#kept.length);
    const end = (all.length - TAPS / 2) * this.#up;
    const made = new Float32Array(Math.max(0, Math.ceil((end - this.#position) / this.#down)));
    for (let i = 0; i < made.length; i++, this.#position += this.#down) {
      const middle = Math.floor(this.#position / this.#up);
      const weights = this.#kernels[this.#position % this.#up];
      let sum = 0;
      for (let k = 0; k < TAPS; k++) sum += weights[k] * all[middle - TAPS / 2 + 1 + k];
      made[i] = sum;
    }
    const done = Math.min(all.length, Math.floor(this.#position / this.#up) - TAPS / 2);
    this.#kept = all.slice(done);
    this.#position -= done * this.#up;
    return made;
  }
}

/** Weights of the TAPS samples around a point `fraction` of a sample after the middle one. Their sum is 1. */
function kernel(fraction, cutoff) {
  const weights = Float64Array.from({ length: TAPS }, (_, k) => {
    const x = fraction - (k - TAPS / 2 + 1);
    return sinc(x * cutoff) * (0.5 + 0.5 * Math.cos((2 * Math.PI * x) / TAPS));
  });
  const sum = weights.reduce((total, weight) => total + weight);
  return weights.map((weight) => weight / sum);
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function divisor(a, b) {
  return b === 0 ? a : divisor(b, a % b);
}

/** A queue of samples that wait to be sent, with marks at the ends of utterances. */
export class SpeechQueue {
  #rate;
  #limit;
  #items = [];
  #samples = 0;
  #resampler = null;
  #from = 0;

  /**
   * @param {number} rate  of the session, Hz
   * @param {number} limitSeconds  more than this is refused
   */
  constructor(rate, limitSeconds) {
    this.#rate = rate;
    this.#limit = limitSeconds * rate;
  }

  /** How much speech waits, milliseconds. */
  get milliseconds() {
    return (this.#samples / this.#rate) * 1000;
  }

  /**
   * Adds mono speech.
   *
   * @param {Float32Array | Int16Array} pcm  in [-1, 1], or 16-bit
   * @param {number} rate  Hz
   * @returns {boolean} false, and nothing added, when the queue would get longer than its limit
   */
  add(pcm, rate) {
    if (this.#samples + (pcm.length * this.#rate) / rate > this.#limit) return false;
    if (rate === this.#rate && pcm instanceof Int16Array) this.#put(pcm.slice());
    else this.#put(int16(this.#atSessionRate(float32(pcm), rate)));
    return true;
  }

  /** Marks the end of the utterance. */
  addEnd() {
    if (this.#resampler) this.#put(int16(this.#resampler.push(new Float32Array(TAPS / 2))));
    this.#resampler = null;
    this.#items.push(null);
  }

  /** The next piece: PCM of at most half a second, null for the end of an utterance, undefined if nothing waits. */
  take() {
    const item = this.#items.shift();
    if (item) this.#samples -= item.length;
    return item;
  }

  clear() {
    this.#items = [];
    this.#samples = 0;
    this.#resampler = null;
  }

  #put(samples) {
    const piece = Math.round(this.#rate * PIECE_SECONDS);
    for (let start = 0; start < samples.length; start += piece) this.#items.push(samples.subarray(start, start + piece));
    this.#samples += samples.length;
  }

  #atSessionRate(samples, rate) {
    if (rate === this.#rate) return samples;
    if (!this.#resampler || this.#from !== rate) this.#resampler = new Resampler(rate, this.#rate);
    this.#from = rate;
    return this.#resampler.push(samples);
  }
}

function float32(pcm) {
  return pcm instanceof Float32Array ? pcm : Float32Array.from(pcm, (sample) => sample / 32768);
}

function int16(samples) {
  return Int16Array.from(samples, (sample) => Math.round(32767 * Math.max(-1, Math.min(1, sample || 0))));
}

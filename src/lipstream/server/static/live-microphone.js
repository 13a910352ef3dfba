// The microphone as a stream of samples, and a detector that notices in it when somebody starts and stops speaking.

import { MicrophoneError, openMicrophone } from "./microphone.js";

/** The face speaks through the loudspeaker. Without echo cancellation it would hear itself. */
const WISHES = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class LiveMicrophone {
  #stream;
  #context;

  /**
   * Opens the microphone.
   *
   * @param {(samples: Float32Array, rate: number) => void} onChunk  called with mono samples, about 20 ms at a time
   * @throws {MicrophoneError}
   */
  static async open(onChunk) {
    const microphone = new LiveMicrophone(await openMicrophone(WISHES));
    try {
      await microphone.#listen(onChunk);
    } catch (error) {
      microphone.close();
      throw new MicrophoneError(`The browser cannot read the microphone (${error.message || error.name}).`);
    }
    return microphone;
  }

  constructor(stream) {
    this.#stream = stream;
    this.#context = new AudioContext({ latencyHint: "interactive" });
  }

  async #listen(onChunk) {
    const { audioWorklet, sampleRate } = this.#context;
    await audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
    const chunks = new AudioWorkletNode(this.#context, "chunks", { channelCount: 1, channelCountMode: "explicit" });
    chunks.port.onmessage = ({ data }) => onChunk(data, sampleRate);
    // Its output is silent, but some browsers only run nodes that are connected.
    this.#context.createMediaStreamSource(this.#stream).connect(chunks).connect(this.#context.destination);
    await this.#context.resume();
  }

  close() {
    this.#stream.getTracks().forEach((track) => track.stop());
    if (this.#context.state !== "closed") this.#context.close();
  }
}

const LOUD = { least: 0.01, overNoise: 3 };
const BEGIN_SECONDS = 0.06;
const END_SECONDS = 0.7;
/** A word only becomes loud after it has begun. */
const BEFORE_SECONDS = 0.25;

/** Splits an endless stream of sound into utterances. */
export class Ear {
  /** Whether somebody speaks. */
  hears = false;
  #noise = 0.003;
  #loud = 0;
  #still = 0;
  #before = [];
  #onSpeech;
  #onEnd;

  /**
   * @param {(samples: Float32Array, rate: number) => void} onSpeech  called with the samples of utterances, in order
   * @param {() => void} onEnd  after each utterance
   */
  constructor(onSpeech, onEnd) {
    this.#onSpeech = onSpeech;
    this.#onEnd = onEnd;
  }

  push(samples, rate) {
    const level = rootMeanSquare(samples);
    const seconds = samples.length / rate;
    const loud = level > Math.max(LOUD.least, LOUD.overNoise * this.#noise);
    this.#noise += (level - this.#noise) * (level < this.#noise ? 0.1 : 0.002); // falls fast, rises slowly
    this.#loud = loud ? this.#loud + seconds : 0;
    this.#still = loud ? 0 : this.#still + seconds;
    if (this.hears) this.#onSpeech(samples, rate);
    else this.#remember(samples, rate);
    if (!this.hears && this.#loud >= BEGIN_SECONDS) this.#begin(rate);
    else if (this.hears && this.#still >= END_SECONDS) this.stop();
  }

  /** Ends the utterance, if there is one. */
  stop() {
    if (this.hears) this.#onEnd();
    this.hears = false;
    this.#loud = 0;
  }

  #remember(samples, rate) {
    this.#before.push(samples);
    if ((this.#before.length * samples.length) / rate > BEFORE_SECONDS) this.#before.shift();
  }

  #begin(rate) {
    this.hears = true;
    for (const samples of this.#before.splice(0)) this.#onSpeech(samples, rate);
  }
}

function rootMeanSquare(samples) {
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}

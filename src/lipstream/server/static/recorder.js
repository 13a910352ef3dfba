// Records the microphone: reports the level while it records, and returns the recording as a file.

import { MicrophoneError, openMicrophone } from "./microphone.js";

const FORMATS = [
  ["audio/webm;codecs=opus", "webm"],
  ["audio/mp4", "m4a"],
  ["audio/ogg;codecs=opus", "ogg"],
];
const LEVEL_EVERY_MS = 60;

export class Recording {
  #stream;
  #context;
  #recorder;
  #timer;
  #parts = [];

  /**
   * Asks for the microphone and starts.
   *
   * @param {(level: number, seconds: number) => void} onLevel  peak of the last stretch in 0…1, and the time so far
   * @throws {MicrophoneError}
   */
  static async start(onLevel) {
    const format = window.MediaRecorder && FORMATS.find(([type]) => MediaRecorder.isTypeSupported(type));
    if (!format) throw new MicrophoneError("This browser cannot record sound. Choose a file instead.");
    return new Recording(await openMicrophone(), format, onLevel);
  }

  constructor(stream, [type, extension], onLevel) {
    this.#stream = stream;
    this.extension = extension;
    this.#recorder = new MediaRecorder(stream, { mimeType: type, audioBitsPerSecond: 128_000 });
    this.#recorder.ondataavailable = ({ data }) => this.#parts.push(data);
    this.#recorder.start(1000);
    this.#meter(onLevel);
  }

  #meter(onLevel) {
    this.#context = new AudioContext();
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 4096;
    this.#context.createMediaStreamSource(this.#stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const begin = performance.now();
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      onLevel(samples.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0), (performance.now() - begin) / 1000);
    }, LEVEL_EVERY_MS);
  }

  /** Stops, releases the microphone and returns the recording. */
  async stop() {
    clearInterval(this.#timer);
    if (this.#recorder.state !== "inactive") {
      await new Promise((resolve) => {
        this.#recorder.onstop = resolve;
        this.#recorder.stop();
      });
    }
    this.#stream.getTracks().forEach((track) => track.stop());
    await this.#context.close();
    const type = this.#recorder.mimeType;
    return new File(this.#parts, `Recording.${this.extension}`, { type });
  }
}

// Runs on the audio thread and passes on the microphone's samples in chunks of about 20 ms.

const CHUNK_SECONDS = 0.02;

class Chunks extends AudioWorkletProcessor {
  #size = Math.round(sampleRate * CHUNK_SECONDS);
  #chunk = new Float32Array(this.#size);
  #filled = 0;

  process([[samples]]) {
    for (let at = 0; samples && at < samples.length; ) {
      const part = samples.subarray(at, at + this.#size - this.#filled);
      this.#chunk.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === this.#size) {
        this.port.postMessage(this.#chunk, [this.#chunk.buffer]);
        this.#chunk = new Float32Array(this.#size);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("chunks", Chunks);

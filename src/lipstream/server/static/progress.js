// Progress of the running job: a line of text, a progress bar, the time left, and announcements for screen readers.

import { announce, byId } from "./dom.js";
import { size } from "./words.js";

const ANNOUNCE_EVERY = 0.25;
const FRAMES_BEFORE_GUESS = 8;

export class ProgressView {
  #bar = byId("progress");
  #words = byId("working-words");
  #left = byId("working-left");
  #first = null;
  #announced = 0;

  set visible(visible) {
    byId("working").hidden = !visible;
  }

  begin() {
    this.#first = null;
    this.#announced = 0;
    this.#left.textContent = "";
    this.#wait("Connecting");
    announce("Started");
  }

  /** Shows a phase of {@link LipsyncClient.render}. */
  show(phase) {
    switch (phase.name) {
      case "connecting":
        return this.#wait(phase.attempt > 1 ? `Connecting, attempt ${phase.attempt}` : "Connecting");
      case "sending":
        this.#words.textContent = `Sending ${size(phase.total)}`;
        return this.#measure(phase.done, phase.total);
      case "preparing":
        return this.#wait("Preparing the portrait");
      case "drawing":
        return this.#draw(phase);
      default:
        throw new Error(`unknown phase ${phase.name}`);
    }
  }

  #wait(words) {
    this.#words.textContent = words;
    this.#bar.removeAttribute("value");
  }

  #measure(done, total) {
    this.#bar.max = total;
    this.#bar.value = done;
  }

  #draw({ done, total }) {
    const now = performance.now();
    this.#first ??= { done, now };
    this.#words.textContent = `Drawing frame ${done} of ${total}`;
    this.#measure(done, total);
    const drawn = done - this.#first.done;
    if (drawn >= FRAMES_BEFORE_GUESS) {
      const seconds = ((total - done) * (now - this.#first.now)) / drawn / 1000;
      this.#left.textContent = `about ${Math.max(1, Math.ceil(seconds))} s left`;
    }
    if (done / total >= this.#announced + ANNOUNCE_EVERY) {
      this.#announced = Math.floor(done / total / ANNOUNCE_EVERY) * ANNOUNCE_EVERY;
      if (done < total) announce(`${Math.round(this.#announced * 100)} percent`);
    }
  }
}

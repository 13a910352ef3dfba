// The portrait: chosen, dropped, pasted or the sample, a picture or a clip; shown on the stage as the browser shows it
// (EXIF included), a clip by its first frame.

import { firstFrame, isClip } from "./clip.js";
import { announce, byId, showError } from "./dom.js";
import { pictureRefusal, refusalWords } from "./kinds.js";
import { duration, size } from "./words.js";

export class PictureField {
  /** The chosen picture or clip, or null. @type {File | null} */
  file = null;
  /** Its number of pixels; 0 if the browser cannot show it. */
  pixels = 0;
  /** Length of a clip; 0 of a picture, and if the browser cannot tell. */
  seconds = 0;
  #sample = null;
  #accepted = null;
  #input = byId("picture-file");
  #image = byId("portrait");
  #error = byId("picture-error");
  #url = "";
  #onChange;

  /** @param {() => void} onChange  called whenever another picture was chosen */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#input.addEventListener("change", () => {
      const [file] = this.#input.files;
      if (file) this.choose(file);
      this.#input.value = "";
    });
    byId("picture-sample").addEventListener("click", () => {
      this.choose(this.#sample);
      this.#input.focus();
    });
  }

  /** Offers the sample, and takes it if nothing was chosen meanwhile. */
  offer(sample) {
    this.#sample = sample;
    if (this.file) byId("picture-sample").hidden = false;
    else this.choose(sample);
  }

  /** What is certainly no portrait is refused, and what was chosen before stays. */
  async choose(file) {
    this.file = file;
    this.pixels = this.seconds = 0;
    this.fail();
    byId("picture-sample").hidden = !this.#sample || file === this.#sample;
    this.#onChange();
    URL.revokeObjectURL(this.#url);
    let url = (this.#url = URL.createObjectURL(file));
    const clip = isClip(file) ? await firstFrame(url) : null;
    if (url !== this.#url) return URL.revokeObjectURL(clip?.url);
    if (clip) {
      URL.revokeObjectURL(url);
      url = this.#url = clip.url;
      this.seconds = clip.seconds;
    }
    this.#image.src = url;
    this.#image.alt = `Your portrait: ${file.name}`;
    const shown = await this.#image.decode().then(() => true, () => false);
    const refusal = await pictureRefusal(file, shown);
    if (url !== this.#url) return;
    if (refusal) return this.#refuse(refusalWords(refusal, file));
    this.#accepted = file;
    this.#image.hidden = !shown;
    byId("stage-empty").hidden = shown;
    byId("stage-empty").textContent = "Your browser cannot show this file";
    const title = file === this.#sample ? "Sample: astronaut Eileen Collins, photographed by NASA (public domain)" : file.name;
    if (shown) this.pixels = this.#image.naturalWidth * this.#image.naturalHeight;
    const facts = [size(file.size)];
    if (clip?.seconds >= 0.1) facts.unshift(duration(clip.seconds)); // less is a file whose times say nothing
    if (shown) facts.unshift(`${this.#image.naturalWidth} × ${this.#image.naturalHeight}`);
    byId("picture-about").textContent = `${title} · ${facts.join(", ")}`;
    if (file !== this.#sample) announce(`${clip ? "Clip" : "Picture"} chosen: ${file.name}`);
  }

  async #refuse(words) {
    const before = this.#accepted;
    this.#accepted = null; // should it have vanished from the disk, it is not tried again
    if (before) await this.choose(before);
    else {
      this.file = null;
      this.#image.hidden = true;
      byId("picture-sample").hidden = !this.#sample;
      this.#onChange();
    }
    if (this.file === before) this.fail(...words);
  }

  /** Shows an error next to the picture and goes there; without words it clears the error. */
  fail(title = "", message = "") {
    showError(this.#error, this.#input, title, message);
    if (title) this.#input.focus();
  }
}

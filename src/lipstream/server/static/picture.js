// The portrait: chosen, dropped, pasted or the sample; shown on the stage as the browser shows it (EXIF included).

import { announce, byId, showError } from "./dom.js";
import { size } from "./words.js";

export class PictureField {
  /** The chosen picture, or null. @type {File | null} */
  file = null;
  /** Its number of pixels; 0 if the browser cannot show it. */
  pixels = 0;
  #sample = null;
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

  async choose(file) {
    this.file = file;
    this.pixels = 0;
    this.fail();
    byId("picture-sample").hidden = !this.#sample || file === this.#sample;
    this.#onChange();
    URL.revokeObjectURL(this.#url);
    const url = (this.#url = URL.createObjectURL(file));
    this.#image.src = url;
    this.#image.alt = `Your portrait: ${file.name}`;
    const shown = await this.#image.decode().then(() => true, () => false);
    if (url !== this.#url) return;
    this.#image.hidden = !shown;
    byId("stage-empty").hidden = shown;
    byId("stage-empty").textContent = "Your browser cannot show this file";
    const title = file === this.#sample ? "Sample: astronaut Eileen Collins, photographed by NASA (public domain)" : file.name;
    if (shown) this.pixels = this.#image.naturalWidth * this.#image.naturalHeight;
    const facts = shown ? `${this.#image.naturalWidth} × ${this.#image.naturalHeight}, ${size(file.size)}` : size(file.size);
    byId("picture-about").textContent = `${title} · ${facts}`;
    if (file !== this.#sample) announce(`Picture chosen: ${file.name}`);
  }

  /** Shows an error next to the picture and goes there; without words it clears the error. */
  fail(title = "", message = "") {
    showError(this.#error, this.#input, title, message);
    if (title) this.#input.focus();
  }
}

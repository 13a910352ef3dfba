// The portrait: a picture or a clip that was chosen, dropped or pasted, or the sample. The stage shows it as the browser
// does (with EXIF orientation), a clip by its first frame.

import { firstFrame, isClip } from "./clip.js";
import { announce, byId, showError } from "./dom.js";
import { pictureRefusal, refusalWords } from "./kinds.js";
import { duration, size } from "./words.js";

export class PictureField {
  /** The chosen picture or clip, or null. @type {File | null} */
  file = null;
  /** Its number of pixels; 0 if the browser cannot show it. */
  pixels = 0;
  /** Length of a clip in seconds; 0 for a picture, or if the browser does not know. */
  seconds = 0;
  #sample = null;
  #accepted = null;
  #input = byId("picture-file");
  #image = byId("portrait");
  #error = byId("picture-error");
  #url = "";
  #onChange;

  /** @param {() => void} onChange  called whenever another picture is chosen */
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

  /** Offers the sample, and chooses it if nothing has been chosen in the meantime. */
  offer(sample) {
    this.#sample = sample;
    if (this.file) byId("picture-sample").hidden = false;
    else this.choose(sample);
  }

  /** Refuses files that certainly are not portraits, and keeps what was chosen before. */
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
    if (clip?.seconds >= 0.1) facts.unshift(duration(clip.seconds)); // shorter means that the file has no usable timestamps
    if (shown) facts.unshift(`${this.#image.naturalWidth} × ${this.#image.naturalHeight}`);
    byId("picture-about").textContent = `${title} · ${facts.join(", ")}`;
    if (file !== this.#sample) announce(`${clip ? "Clip" : "Picture"} chosen: ${file.name}`);
  }

  async #refuse(words) {
    const before = this.#accepted;
    this.#accepted = null; // if it has vanished from the disk, it is not tried again
    if (before) await this.choose(before);
    else {
      this.file = null;
      this.#image.hidden = true;
      byId("picture-sample").hidden = !this.#sample;
      this.#onChange();
    }
    if (this.file === before) this.fail(...words);
  }

  /** Shows an error next to the picture and scrolls there; without a title, clears the error. */
  fail(title = "", message = "") {
    showError(this.#error, this.#input, title, message);
    if (title) this.#input.focus();
  }
}

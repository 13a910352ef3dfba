// The stage shows the picture, or the finished video once there is one. The result stays until the next job.

import { announce, byId } from "./dom.js";
import { duration, size, stem } from "./words.js";

export class Stage {
  #video = byId("video");
  #url = "";

  constructor() {
    byId("show-picture").addEventListener("click", () => this.showPicture());
    byId("show-video").addEventListener("click", () => this.#show("video"));
  }

  showPicture() {
    this.#show("picture");
  }

  /** Removes the last video when the next one is started. */
  forgetResult() {
    byId("result").hidden = byId("stage-switch").hidden = true;
    this.showPicture();
  }

  pause() {
    this.#video.pause();
  }

  /** Shows a finished video on the stage, plays it and offers it for download. */
  async showResult(file, portraitName, seconds) {
    URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(file);
    this.#video.src = this.#url;
    await new Promise((resolve) => {
      this.#video.onloadedmetadata = this.#video.onerror = resolve;
    });
    const { videoWidth: width, videoHeight: height } = this.#video;
    const title = document.createElement("strong");
    title.textContent = "Your video is ready";
    const facts = document.createElement("span");
    facts.textContent = `${duration(this.#video.duration)}, ${width} × ${height}, ${size(file.size)}. Made in ${duration(seconds)}.`;
    byId("result-about").replaceChildren(title, facts);
    const download = byId("download");
    download.href = this.#url;
    download.download = `${stem(portraitName)}-speaking.mp4`;
    byId("result").hidden = byId("stage-switch").hidden = false;
    byId("job").classList.add("has-result");
    this.#show("video");
    announce(`Your video is ready: ${duration(this.#video.duration)}.`);
    this.#video.focus({ preventScroll: true });
    byId("picture").scrollIntoView({ block: "nearest", behavior: "smooth" });
    // After a long job, the click that started it no longer counts as permission to play. The controls are still there.
    await this.#video.play().catch(() => {});
  }

  #show(what) {
    const showsVideo = what === "video";
    byId("stage").dataset.shows = what;
    this.#video.hidden = !showsVideo;
    if (!showsVideo) this.#video.pause();
    byId("show-picture").setAttribute("aria-pressed", String(!showsVideo));
    byId("show-video").setAttribute("aria-pressed", String(showsVideo));
  }
}

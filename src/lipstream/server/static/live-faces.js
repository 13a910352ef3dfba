// The faces of the live view: those stored on the server (/v1/avatars), the sample, and pictures and clips added here.

import { isClip } from "./clip.js";
import { announce, byId } from "./dom.js";
import { LipstreamError } from "./lipstream.js";
import { fetchSample } from "./server.js";

const MOST_SHOWN = 12;

export class Faces {
  /** The server's record of the chosen face, or null. */
  chosen = null;
  #page;
  #faces = [];
  #sampleId = null;
  /** Files and names of the faces added here, and for pictures their URLs. */
  #added = new Map();
  #loading = null;
  #image = byId("live-portrait");
  #onChange;

  /** @param {URL} page @param {() => void} onChange  called whenever another face is chosen */
  constructor(page, onChange) {
    this.#page = page;
    this.#onChange = onChange;
  }

  /** Fetches the list once, and chooses the sample or the newest face. @throws {LipstreamError} */
  load() {
    this.#loading ??= this.#load().catch((error) => {
      this.#loading = null; // the next call tries again
      throw error;
    });
    return this.#loading;
  }

  async #load() {
    const sample = await fetchSample(this.#page, "sample/portrait", "astronaut.png");
    if (sample) this.#sampleId = (await this.#upload(sample, "Sample: astronaut Eileen Collins, photographed by NASA (public domain)")).id;
    await this.#refresh();
    if (!this.chosen) this.#choose(this.#faces.find(({ id }) => id === this.#sampleId) ?? this.#faces[0] ?? null);
  }

  /** Adds a picture and chooses it. @throws {LipstreamError} */
  async add(file) {
    const face = await this.#upload(file, file.name);
    await this.#refresh();
    this.#choose(this.#faces.find(({ id }) => id === face.id) ?? face);
    announce(`Face chosen: ${file.name}`);
  }

  /** Sends the picture of the chosen face again after the server has deleted it; false if it was not added here. */
  async renew() {
    const known = this.#added.get(this.chosen?.id);
    if (!known) return false;
    await this.#upload(known.file, known.name);
    return true;
  }

  /** Removes the chosen face from the server. @throws {LipstreamError} */
  async remove() {
    const { id } = this.chosen;
    await this.#ask(`v1/avatars/${id}`, { method: "DELETE" });
    URL.revokeObjectURL(this.#added.get(id)?.url ?? "");
    this.#added.delete(id);
    await this.#refresh();
    this.#choose(this.#faces[0] ?? null);
    announce("Face removed");
  }

  async #upload(file, name) {
    const form = new FormData();
    form.append(isClip(file) ? "video" : "image", file, file.name);
    const face = await this.#ask("v1/avatars", { method: "POST", body: form });
    if (!this.#added.has(face.id)) {
      const url = isClip(file) ? null : URL.createObjectURL(file);
      this.#added.set(face.id, { file, name, url });
    }
    return face;
  }

  async #refresh() {
    const { avatars } = await this.#ask("v1/avatars");
    const isSample = ({ id }) => id === this.#sampleId;
    this.#faces = [...avatars.filter(isSample), ...avatars.filter((face) => !isSample(face))].slice(0, MOST_SHOWN);
    this.#show();
  }

  async #ask(path, request = {}) {
    let answer;
    try {
      answer = await fetch(new URL(path, this.#page), request);
    } catch {
      throw new LipstreamError("unreachable", "Check that lipstream is running and that this device can reach it, then try again.");
    }
    if (answer.status === 204) return null;
    const fields = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new LipstreamError(fields.code ?? "refused", fields.message ?? `The server answered with status ${answer.status}.`);
    return fields;
  }

  #name(face, index) {
    return this.#added.get(face.id)?.name ?? `Face ${index + 1}`;
  }

  #show() {
    const rows = this.#faces.map((face, index) => {
      const radio = document.createElement("input");
      Object.assign(radio, { type: "radio", name: "face", className: "unseen", value: face.id, checked: face.id === this.chosen?.id });
      radio.addEventListener("change", () => this.#choose(face));
      const picture = document.createElement("span");
      picture.className = "thumb";
      picture.style.backgroundImage = `url("${new URL(`v1/avatars/${face.id}/thumbnail`, this.#page)}")`;
      const words = document.createElement("span");
      words.className = "unseen";
      words.textContent = this.#name(face, index);
      const label = document.createElement("label");
      label.className = "face";
      label.title = words.textContent;
      label.append(radio, picture, words);
      return label;
    });
    byId("faces").replaceChildren(byId("faces").firstElementChild, ...rows);
    byId("faces").hidden = rows.length === 0;
  }

  #choose(face) {
    this.chosen = face;
    const index = this.#faces.indexOf(face);
    for (const radio of byId("faces").querySelectorAll("input")) radio.checked = radio.value === face?.id;
    byId("live-empty").hidden = face !== null;
    byId("face-remove").hidden = face === null || face.id === this.#sampleId;
    this.#image.hidden = face === null;
    if (face) {
      const name = this.#name(face, index);
      this.#image.src = this.#added.get(face.id)?.url ?? new URL(`v1/avatars/${face.id}/thumbnail`, this.#page);
      this.#image.alt = `The chosen face: ${name}`;
      byId("live-face-about").textContent = [`${name} · ${face.width} × ${face.height}`, ...face.warnings].join(" · ");
    } else byId("live-face-about").textContent = "Choose a picture, or a clip of a few seconds, with a face seen from the front.";
    this.#onChange();
  }
}

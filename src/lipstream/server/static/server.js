// What the page knows about its server: whether it is ready, and its samples.

import { byId } from "./dom.js";

const ASK_AGAIN_MS = 2000;

const LOADING = { state: "loading", words: "Starting: loading models" };
const AWAY = { state: "away", words: "Server not reachable" };
const READY = { state: "ready", words: "Ready" };

/**
 * Shows the server's state in the masthead, asking again until it is ready.
 *
 * @param {(message: string) => void} onProblem  called if the server could not start, and with "" when that is over
 */
export async function watchServer(page, onProblem) {
  for (let told = false; ; ) {
    const { state, words, problem } = await ask(new URL("readyz", page));
    if (Boolean(problem) !== told) onProblem(problem ?? "");
    told = Boolean(problem);
    byId("server").dataset.state = state;
    if (byId("server-words").textContent !== words) byId("server-words").textContent = words;
    if (state === "ready") return;
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
}

async function ask(url) {
  try {
    const answer = await fetch(url, { cache: "no-store" });
    if (answer.ok) return READY;
    const { message } = await answer.json(); // there is one only if the start failed
    return message ? { state: "away", words: "Server has a problem", problem: message } : LOADING;
  } catch {
    return AWAY;
  }
}

/** One of the bundled samples as a file, or null if the server has none. */
export async function fetchSample(page, path, name) {
  try {
    const answer = await fetch(new URL(path, page));
    if (!answer.ok) return null;
    const blob = await answer.blob();
    return new File([blob], name, { type: blob.type });
  } catch {
    return null;
  }
}

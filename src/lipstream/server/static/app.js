// START HERE: picture + speech → one job → a video on the stage. Each part of the page has its own module. The live view
// is live.js.

import { announce, byId, showError } from "./dom.js";
import { acceptFiles, unknownWords } from "./drop.js";
import { brokenLimit, fetchLimits } from "./limits.js";
import { LipsyncClient, LipsyncError } from "./lipsync.js";
import { LiveView } from "./live.js";
import { PictureField } from "./picture.js";
import { ProgressView } from "./progress.js";
import { fetchSample, watchServer } from "./server.js";
import { SpeechField } from "./speech.js";
import { Stage } from "./stage.js";
import { setUpTabs } from "./tabs.js";
import { describeError } from "./words.js";

const page = new URL(".", location.href);
const limits = fetchLimits(page);
const stage = new Stage();
const progress = new ProgressView();
const client = new LipsyncClient(page);
const picture = new PictureField(() => {
  stage.showPicture();
  inputsChanged();
});
const speech = new SpeechField(inputsChanged);
const samples = Promise.all([
  fetchSample(page, "sample/portrait", "astronaut.png").then((file) => file && picture.offer(file)),
  fetchSample(page, "sample/speech", "sample.wav").then((file) => file && speech.offer(file)),
]);
/** Aborts the running job; null if none is running. @type {AbortController | null} */
let running = null;
/** Whether a job has been started and has not ended, so that a double click starts only one. */
let starting = false;

function refresh() {
  const working = running !== null;
  byId("go").hidden = working;
  byId("picture-actions").disabled = byId("speech-actions").disabled = working;
  progress.visible = working;
  if (working) stage.forgetResult();
}

/** After the inputs have changed, the next step is to render again, no longer to download. */
function inputsChanged() {
  byId("job").classList.remove("has-result");
  refresh();
}

function fail(code, message) {
  const { place, title } = describeError(code);
  if (place === "picture") picture.fail(title, message);
  else if (place === "speech") speech.fail(title, message);
  else {
    showError(byId("make-error"), null, title, message);
    byId("go").focus();
  }
}

function clearErrors() {
  picture.fail();
  speech.fail();
  showError(byId("make-error"), null);
}

async function makeItSpeak() {
  clearErrors();
  await speech.stop();
  if (!picture.file || !speech.file) await samples; // the button may be pressed before the samples are loaded
  if (!picture.file) return picture.fail("No picture yet", "Choose one first.");
  if (!speech.file) return speech.fail("No speech yet", "Choose a recording or record yourself first.");

  const broken = brokenLimit(await limits, {
    portrait: picture.file,
    pixels: picture.pixels,
    clipSeconds: picture.seconds,
    audio: speech.file,
    seconds: speech.seconds,
  });
  if (broken) return fail(broken.code, broken.message);

  running = new AbortController();
  const begin = performance.now();
  const portrait = picture.file;
  speech.pause();
  progress.begin();
  refresh();
  byId("cancel").focus();
  try {
    const video = await client.render(
      { portrait, audio: speech.file },
      { signal: running.signal, onPhase: (phase) => progress.show(phase) },
    );
    running = null;
    refresh();
    await stage.showResult(video, portrait.name, (performance.now() - begin) / 1000);
  } catch (error) {
    const cancelled = running?.signal.aborted;
    running = null;
    refresh();
    if (cancelled) {
      announce("Cancelled");
      byId("go").focus();
    } else if (error instanceof LipsyncError) {
      fail(error.code, error.message);
      if (error.code === "unreachable" || error.code === "connection_lost") watch();
    } else {
      fail("page_error", "Something went wrong in this page. Reload it and try again.");
      throw error;
    }
  }
}

function watch() {
  watchServer(page, (message) => showError(byId("make-error"), null, message && "The server could not start", message));
}

byId("job").addEventListener("submit", (event) => {
  event.preventDefault();
  if (starting) return;
  starting = true;
  makeItSpeak().finally(() => (starting = false));
});
byId("cancel").addEventListener("click", () => running?.abort());

acceptFiles(
  { picture: byId("picture"), speech: byId("speech") },
  {
    picture: (file) => picture.choose(file),
    speech: (file) => speech.choose(file),
    unknown: (file) => showError(byId("make-error"), null, ...unknownWords(file)),
  },
  () => running !== null || speech.recording || byId("view-clip").hidden,
);

const live = new LiveView(page);
setUpTabs((name) => {
  speech.pause();
  stage.pause();
  if (name === "live") live.enter();
  else live.leave();
});

refresh();
watch();

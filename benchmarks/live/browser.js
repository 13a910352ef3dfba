// Speaks in real time from a random moment on and interrupts in the middle. Gives the milliseconds from speak() to the
// first talking frame on the screen and from interrupt() to the first idle one: requestVideoFrameCallback tells which
// moment of the media is presented when, the player's events tell which moment it is.
async ({rounds, chunkSeconds}) => {
  const {LipstreamPlayer} = await import("/lipstream.js");
  const video = document.createElement("video");
  document.body.prepend(video);
  const wav = new DataView(await (await fetch("/sample/speech")).arrayBuffer(), 44);
  const speech = Int16Array.from({length: wav.byteLength >> 1}, (_, i) => wav.getInt16(2 * i, true));
  const image = await (await fetch("/sample/portrait")).blob();
  const rate = 16000;
  const player = new LipstreamPlayer(video, "/ws/stream", {image, engine: "portrait", sampleRate: rate, container: "fmp4"});
  const seen = [];
  const watch = (_, {mediaTime, expectedDisplayTime}) => {
    seen.push({mediaTime, at: expectedDisplayTime});
    if (seen.length > 500) seen.shift();
    video.requestVideoFrameCallback(watch);
  };
  video.requestVideoFrameCallback(watch);
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const event = (type) => new Promise((resolve) => player.addEventListener(type, ({detail}) => resolve(detail), {once: true}));
  const shown = async (ms, after) => {
    const half = 0.02;
    for (;;) {
      const frame = seen.find(({mediaTime, at}) => mediaTime >= ms / 1000 - half && at > after);
      if (frame) return frame.at - after;
      await pause(10);
    }
  };
  await player.connect();
  const results = {first: [], rest: []};
  await pause(2000);
  for (let round = 0; round < rounds; round++) {
    await pause(700 + 200 * Math.random());
    const started = event("speechstarted");
    const begin = performance.now();
    let sent = 0;
    const talk = setInterval(() => {
      while (sent < ((performance.now() - begin) / 1000 + chunkSeconds) * rate) {
        player.speak(speech.slice(sent, sent + chunkSeconds * rate));
        sent += chunkSeconds * rate;
      }
    }, 5);
    results.first.push(await shown((await started).at_ms, begin));
    await pause(300 + 200 * Math.random());
    clearInterval(talk);
    const interrupted = event("speechinterrupted");
    const pressed = performance.now();
    player.interrupt();
    results.rest.push(await shown((await interrupted).at_ms, pressed));
  }
  player.close();
  return results;
}

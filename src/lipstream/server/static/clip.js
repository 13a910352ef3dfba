// Clips as portraits: which files are clips, and the frame that represents a clip on the stage.

/** @param {File} file */
export function isClip(file) {
  return file.type.startsWith("video/");
}

/**
 * The first frame.
 *
 * @param {string} url  of the clip
 * @returns {Promise<{url: string, pixels: number, seconds: number} | null>}  null if the browser cannot play it
 */
export async function firstFrame(url) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, preload: "auto", src: url });
  const loaded = await new Promise((resolve) => {
    video.onloadeddata = () => resolve(true);
    video.onerror = () => resolve(false);
  });
  if (!loaded || !video.videoWidth) return null;
  const canvas = Object.assign(document.createElement("canvas"), { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg"));
  return { url: URL.createObjectURL(picture), pixels: canvas.width * canvas.height, seconds: video.duration };
}

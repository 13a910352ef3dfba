// Loudness over time as a row of rounded bars in a 100 × 40 viewBox, stretched to the available width.

export const BARS = 72;
const MIDDLE = 20;
const FULL = 17;
const REST = 0.04;

/** An SVG path with one bar per level. Levels are peaks in 0…1; missing ones are drawn as silence. */
export function barsPath(levels) {
  const pitch = 100 / BARS;
  const width = pitch * 0.56;
  let path = "";
  for (let i = 0; i < BARS; i++) {
    const half = FULL * Math.max(REST, Math.min(1, levels[i] ?? 0));
    const left = (i * pitch + (pitch - width) / 2).toFixed(2);
    path += `M${left} ${(MIDDLE - half).toFixed(2)}h${width.toFixed(2)}v${(2 * half).toFixed(2)}h-${width.toFixed(2)}z`;
  }
  return path;
}

/** The peak of a decoded recording in the stretch of each bar, scaled so that the loudest is 1 (silence stays 0). */
export function peaks(buffer) {
  const samples = buffer.getChannelData(0);
  const levels = new Array(BARS).fill(0);
  for (let i = 0; i < BARS; i++) {
    const end = Math.floor(((i + 1) * samples.length) / BARS);
    for (let k = Math.floor((i * samples.length) / BARS); k < end; k++) levels[i] = Math.max(levels[i], Math.abs(samples[k]));
  }
  const loudest = Math.max(...levels);
  return loudest > 0.001 ? levels.map((level) => level / loudest) : levels;
}

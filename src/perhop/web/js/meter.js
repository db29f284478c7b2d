/**
 * How loud a stream is, and when a voice was last heard on it.
 *
 * @module
 */

/** Samples looked at in one reading: 85 ms at 48 kHz, so that readings every 50 ms overlap and miss nothing. */
const WINDOW = 4096;

/** Samples from here on count as voice (full scale is 1): −32 dB. */
const VOICE = 0.025;

/** The quietest level shown, in dB below full scale. */
const FLOOR_DB = 60;

/** @typedef {{level: number, firstLoud: number | null, lastLoud: number | null}} Reading */

/**
 * Looks at a window of samples that ends now.
 *
 * @param {Float32Array} samples −1…1
 * @param {number} rate samples a second
 * @param {number} now ms
 * @returns {Reading} `level` 0…1 on a dB scale; when the first and last sample of a voice came, in ms
 */
export function readWindow(samples, rate, now) {
  let energy = 0;
  let first = -1;
  let last = -1;
  for (let index = 0; index < samples.length; index += 1) {
    const sample = samples[index];
    energy += sample * sample;
    if (sample > VOICE || sample < -VOICE) {
      last = index;
      if (first < 0) first = index;
    }
  }
  const decibels = 10 * Math.log10(energy / samples.length + 1e-12);
  const at = (/** @type {number} */ index) => (index < 0 ? null : now - ((samples.length - index) * 1000) / rate);
  return { level: Math.min(1, Math.max(0, decibels / FLOOR_DB + 1)), firstLoud: at(first), lastLoud: at(last) };
}

/** The meter of one stream. */
export class LevelMeter {
  /**
   * @param {AudioContext} context
   * @param {MediaStream} stream
   */
  constructor(context, stream) {
    this.source = context.createMediaStreamSource(stream);
    this.analyser = new AnalyserNode(context, { fftSize: WINDOW });
    this.samples = new Float32Array(WINDOW);
    this.source.connect(this.analyser);
  }

  /**
   * @param {number} now ms
   * @returns {Reading}
   */
  read(now) {
    this.analyser.getFloatTimeDomainData(this.samples);
    return readWindow(this.samples, this.analyser.context.sampleRate, now);
  }

  close() {
    this.source.disconnect();
  }
}

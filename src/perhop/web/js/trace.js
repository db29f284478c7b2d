/**
 * The last seconds of both voices, drawn as they come: the caller above the line, the agent below it.
 *
 * @module
 */

/** Width of one bar and of the gap after it, in CSS pixels. */
const BAR = 3;
const GAP = 2;

/** Keeps as many levels as fit, newest at the right. */
export class Trace {
  /** @param {HTMLCanvasElement} canvas its colours are the custom properties --caller, --agent and --rule */
  constructor(canvas) {
    this.canvas = canvas;
    /** @type {{caller: number, agent: number}[]} */
    this.levels = [];
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Forgets what was drawn. */
  clear() {
    this.levels = [];
    this.draw();
  }

  /**
   * @param {number} caller 0…1
   * @param {number} agent 0…1
   */
  push(caller, agent) {
    this.levels.push({ caller, agent });
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = globalThis.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    const paint = this.canvas.getContext("2d");
    if (!paint || width === 0) return;
    const count = Math.floor(width / (BAR + GAP));
    this.levels = this.levels.slice(-count);
    const style = getComputedStyle(this.canvas);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const middle = Math.round(height / 2);
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, width, height);
    paint.fillStyle = colour("--rule");
    paint.fillRect(0, middle - 0.5, width, 1);
    // With reduced motion nothing scrolls: two quiet bars show the newest levels only.
    const shown = this.still.matches ? this.levels.slice(-1) : this.levels;
    shown.forEach(({ caller, agent }, index) => {
      const x = this.still.matches ? 0 : width - (shown.length - index) * (BAR + GAP);
      const bar = this.still.matches ? width : BAR;
      for (const [level, name, up] of /** @type {const} */ ([
        [caller, "--caller", true],
        [agent, "--agent", false],
      ])) {
        const tall = Math.round(level ** 1.3 * (middle - 4));
        if (tall < 1) continue;
        paint.fillStyle = colour(name);
        paint.beginPath();
        paint.roundRect(x, up ? middle - 2 - tall : middle + 2, bar, tall, 1.5);
        paint.fill();
      }
    });
  }
}

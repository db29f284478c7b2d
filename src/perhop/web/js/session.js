/**
 * One call on the page: the client's events brought to the trackers, and what they find out brought to the views.
 *
 * @module
 */

import { ActivityTracker } from "./activity.js";
import { Arrivals } from "./arrivals.js";
import { PerhopCall } from "./client.js";
import { Conversation } from "./conversation.js";
import { FirstAudio } from "./first_audio.js";
import { LevelMeter } from "./meter.js";
import { StatsReporter } from "./stats.js";

/** How often levels are read and drawn, in ms; the meters' windows are longer, so that nothing is missed. */
const TICK_MS = 50;

/**
 * @typedef {object} Views what a session shows itself on
 * @property {import("./conversation_view.js").ConversationView} conversation
 * @property {import("./line.js").Line} line
 * @property {import("./trace.js").Trace} trace
 * @property {(level: number) => void} level the microphone's level, 0…1
 * @property {(activity: import("./activity.js").Activity, session: Session) => void} activity
 * @property {HTMLAudioElement} voice plays the agent
 */

/** A call and everything that follows it; good for one call. */
export class Session {
  /** @type {LevelMeter | null} */
  #microphoneMeter = null;
  /** @type {LevelMeter | null} */
  #agentMeter = null;
  /** @type {StatsReporter | null} */
  #reporter = null;
  /** @type {Arrivals | null} */
  #arrivals = null;
  /** @type {number | null} when the newest turn of the caller ended, until the agent's first word */
  #asked = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /**
   * @param {import("./agents.js").AgentCard} agent
   * @param {Views} views
   */
  constructor(agent, views) {
    this.agent = agent;
    this.views = views;
    this.call = new PerhopCall();
    this.tracker = new ActivityTracker();
    this.conversation = new Conversation();
    this.firstAudio = new FirstAudio();
    // Made here, inside the click that started the call: browsers keep a context made elsewhere silent.
    this.audio = new AudioContext();
    this.startedAt = performance.now();
    this.call.on("event", (event) => this.#onEvent(event));
    this.call.on("sent", (event) => this.#onSent(event));
    this.call.on("microphone", (stream) => this.#onMicrophone(stream));
    this.call.on("remote", (stream) => this.#onRemote(stream));
    this.call.on("network", (state) => {
      if (state === "weak") this.#onLost();
      else this.tracker.back();
    });
  }

  /**
   * Calls; resolves when the call is up.
   *
   * @param {boolean} microphone
   * @param {RTCIceServer[]} iceServers
   */
  async start(microphone, iceServers) {
    this.views.conversation.reset(this.agent.title, this.startedAt);
    this.views.line.clear();
    this.views.trace.clear();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
    try {
      await this.call.connect({ agent: this.agent.name, audio: microphone, iceServers });
    } catch (error) {
      this.stop();
      throw error;
    }
    this.startedAt = performance.now();
    this.views.conversation.startedAt = this.startedAt;
    const speaking = () => this.tracker.playing.size > 0 && !this.tracker.away;
    this.#arrivals = new Arrivals(() => this.call.peer, speaking, (stalled) => {
      this.tracker.stalled = stalled;
    });
    const extra = () => ({ first_audio_ms: this.firstAudio.value });
    this.#reporter = new StatsReporter(this.call, (figures) => this.#onFigures(figures), extra);
  }

  /** A line of the page's own in the conversation. @param {string} text */
  notice(text) {
    this.#showEntries([this.conversation.notice(text, performance.now())]);
  }

  /** Tidies up after the call, however it ended; harmless twice. */
  stop() {
    this.call.hangUp();
    clearInterval(this.#timer);
    this.#reporter?.stop();
    this.#arrivals?.stop();
    this.#microphoneMeter?.close();
    this.#agentMeter?.close();
    if (this.audio.state !== "closed") void this.audio.close();
    this.views.voice.srcObject = null;
    this.views.level(0);
    this.#showEntries(this.conversation.end());
    this.tracker.end();
    this.views.line.flow("ended");
  }

  /** The connection is gone, and what was being said with it; the call is not. */
  #onLost() {
    this.tracker.lost();
    this.#showEntries(this.conversation.end());
    this.#show(performance.now());
  }

  /** @param {any} event */
  #onEvent(event) {
    const now = performance.now();
    this.tracker.apply(event, now);
    this.firstAudio.apply(event, now);
    this.#showEntries(this.conversation.apply(event, now));
    this.#firstWord(event, now);
    this.#show(now);
  }

  /** @param {any} event */
  #onSent(event) {
    const now = performance.now();
    this.tracker.apply(event, now);
    this.firstAudio.apply(event, now);
    if (event.type === "response.create") this.#asked = now;
    this.#show(now);
  }

  /** @param {import("./stats.js").Figures} figures */
  #onFigures(figures) {
    this.firstAudio.playout = figures.jitter_buffer_ms ?? 0;
    this.views.line.show({ ...figures });
  }

  /** @param {MediaStream} stream */
  #onMicrophone(stream) {
    this.#microphoneMeter = new LevelMeter(this.audio, stream);
    stream.getAudioTracks()[0]?.addEventListener("ended", () => {
      this.notice("The microphone went away. You can go on by typing.");
    });
  }

  /** @param {MediaStream} stream */
  #onRemote(stream) {
    this.views.voice.srcObject = stream;
    this.views.voice.play().catch((error) => {
      if (error.name !== "NotAllowedError") return;
      this.notice("The browser blocked the sound. Click anywhere on the page to hear the agent.");
    });
    this.#agentMeter?.close();
    this.#agentMeter = new LevelMeter(this.audio, stream);
  }

  /**
   * The model's hop: from the end of a turn to the first word of the answer, as events.
   *
   * @param {any} event
   * @param {number} now ms
   */
  #firstWord(event, now) {
    if (event.type === "input_audio_buffer.speech_stopped") this.#asked = now;
    const word = event.type === "response.output_audio_transcript.delta" || event.type === "response.output_text.delta";
    if (word && this.#asked !== null) {
      this.views.line.show({ first_word_ms: now - this.#asked });
      this.#asked = null;
    }
  }

  #tick() {
    const now = performance.now();
    const microphone = this.#microphoneMeter?.read(now);
    const agent = this.#agentMeter?.read(now);
    if (microphone?.lastLoud && !this.call.muted) this.firstAudio.voice(microphone.lastLoud);
    const before = this.firstAudio.value;
    this.firstAudio.answer(agent ?? { firstLoud: null, lastLoud: null }, now);
    if (this.firstAudio.value !== before) this.views.line.show({ first_audio_ms: this.firstAudio.value });
    this.views.level(microphone?.level ?? 0);
    this.views.trace.push(microphone?.level ?? 0, agent?.level ?? 0);
    this.#show(now);
  }

  /** @param {number} now ms */
  #show(now) {
    const activity = this.tracker.at(now);
    this.views.line.flow(activity);
    this.views.activity(activity, this);
  }

  /** @param {import("./conversation.js").Entry[]} changed */
  #showEntries(changed) {
    this.views.conversation.show(changed, this.conversation.entries);
    for (const { tool } of changed) {
      if (tool?.startedAt && tool.endedAt) this.views.line.show({ tool_ms: tool.endedAt - tool.startedAt });
    }
  }
}

/**
 * What is happening in a call right now, derived from its events: one word a person understands.
 *
 * @module
 */

/** @typedef {'idle' | 'connecting' | 'reconnecting' | 'listening' | 'hearing' | 'thinking' | 'speaking' | 'stalled' | 'ended'} Activity */

/** A reply that has not begun after this long is no longer expected (noise taken for speech, say). */
const REPLY_PATIENCE_MS = 10_000;

/** Follows the events of one call; `at(now)` is the answer. Times are milliseconds of one clock, given by the caller. */
export class ActivityTracker {
  constructor() {
    this.connected = false;
    this.away = false;
    /** whether audio that is due does not arrive */
    this.stalled = false;
    this.ended = false;
    this.userSpeaks = false;
    /** @type {Set<string>} responses whose audio plays */
    this.playing = new Set();
    /** @type {Set<string>} responses being made */
    this.making = new Set();
    /** @type {Map<string, string>} tools that run: function call id → name */
    this.tools = new Map();
    /** @type {number | null} until when a reply is expected */
    this.replyBy = null;
  }

  /** The name of a tool that runs now, if any. */
  get tool() {
    return [...this.tools.values()].at(-1) ?? null;
  }

  /**
   * @param {any} event a server event, or a client event that was sent
   * @param {number} now ms
   */
  apply(event, now) {
    switch (event.type) {
      case "session.created":
        this.connected = true;
        break;
      case "input_audio_buffer.speech_started":
        this.userSpeaks = true;
        this.replyBy = null;
        break;
      case "input_audio_buffer.speech_stopped":
        this.userSpeaks = false;
        this.replyBy = now + REPLY_PATIENCE_MS;
        break;
      case "response.create":
        this.replyBy = now + REPLY_PATIENCE_MS;
        break;
      case "conversation.item.input_audio_transcription.completed":
        if (!event.transcript?.trim() && this.making.size === 0) this.replyBy = null;
        break;
      case "response.created":
        this.making.add(event.response.id);
        break;
      case "conversation.item.done":
        if (event.item.type === "function_call") this.tools.set(event.item.call_id, event.item.name);
        if (event.item.type === "function_call_output") {
          this.tools.delete(event.item.call_id);
          this.replyBy = now + REPLY_PATIENCE_MS;
        }
        break;
      case "response.done":
        this.making.delete(event.response.id);
        if (this.tools.size === 0) this.replyBy = null;
        break;
      case "output_audio_buffer.started":
        this.playing.add(event.response_id);
        break;
      case "output_audio_buffer.stopped":
      case "output_audio_buffer.cleared":
        this.playing.delete(event.response_id);
        break;
    }
  }

  /** The connection is lost, and with it whatever was going on. */
  lost() {
    this.away = true;
    this.userSpeaks = false;
    this.playing.clear();
    this.making.clear();
    this.tools.clear();
    this.replyBy = null;
  }

  /** There is a connection again. */
  back() {
    this.away = false;
  }

  /** The call is over. */
  end() {
    this.ended = true;
  }

  /**
   * @param {number} now ms
   * @returns {Activity}
   */
  at(now) {
    if (this.ended) return "ended";
    if (!this.connected) return "connecting";
    if (this.away) return "reconnecting";
    if (this.userSpeaks) return "hearing";
    if (this.playing.size > 0) return this.stalled ? "stalled" : "speaking";
    if (this.making.size > 0 || this.tools.size > 0) return "thinking";
    return this.replyBy !== null && now < this.replyBy ? "thinking" : "listening";
  }
}

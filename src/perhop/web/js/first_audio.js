/**
 * First-audio time: from the end of the caller's words to the first sound of the answer, as heard here.
 *
 * The server's events say which words and which answer; the meters say when, to a few milliseconds. Where a meter heard
 * nothing (no microphone, a sleeping page), the events alone decide: `speech_stopped` comes after the silence that ends
 * a turn, so that silence is taken off.
 *
 * @module
 */

/** The silence that ends a turn when the session does not say, in ms (the protocol's default). */
const DEFAULT_SILENCE_MS = 200;

/** A sound is awaited this long after `output_audio_buffer.started`, in ms; then the event's time counts. */
const SOUND_WAIT_MS = 600;

/** Measures turn after turn. All times are milliseconds of one clock, given by the caller. */
export class FirstAudio {
  constructor() {
    /** @type {number | null} the newest measurement, in ms */
    this.value = null;
    this.silence = DEFAULT_SILENCE_MS;
    /** @type {number | null} when the caller's words began */
    this.speechBegan = null;
    /** @type {number | null} when they ended; null when no answer is awaited */
    this.wordsEnded = null;
    /** @type {number | null} when the server began to send the answer */
    this.answerBegan = null;
    /** @type {number | null} */
    this.lastVoice = null;
  }

  /**
   * @param {any} event a server event, or a client event that was sent
   * @param {number} now ms
   */
  apply(event, now) {
    switch (event.type) {
      case "session.created":
      case "session.updated":
        this.silence = event.session?.audio?.input?.turn_detection?.silence_duration_ms ?? this.silence;
        break;
      case "input_audio_buffer.speech_started":
        this.speechBegan = now;
        this.wordsEnded = null;
        this.answerBegan = null;
        break;
      case "input_audio_buffer.speech_stopped": {
        const heard = this.lastVoice !== null && this.speechBegan !== null && this.lastVoice >= this.speechBegan - 500;
        this.wordsEnded = heard && this.lastVoice !== null ? Math.min(this.lastVoice, now) : now - this.silence;
        break;
      }
      case "conversation.item.create":
        this.wordsEnded = now;
        this.answerBegan = null;
        break;
      case "output_audio_buffer.started":
        if (this.wordsEnded !== null) this.answerBegan ??= now;
        break;
    }
  }

  /** The microphone's meter heard a voice. @param {number} at ms */
  voice(at) {
    this.lastVoice = at;
  }

  /**
   * The agent's meter was read.
   *
   * @param {number | null} loudAt when it heard a sound, in ms
   * @param {number} now ms
   */
  answer(loudAt, now) {
    if (this.wordsEnded === null || this.answerBegan === null) return;
    const heard = loudAt !== null && loudAt > this.wordsEnded;
    if (!heard && now - this.answerBegan < SOUND_WAIT_MS) return;
    this.value = Math.round((heard ? loudAt : this.answerBegan) - this.wordsEnded);
    this.wordsEnded = null;
    this.answerBegan = null;
  }
}

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

/** When the agent was heard this short a while before the caller's words ended, in ms, its voice runs over into the wait. */
const OVERLAP_MS = 300;

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
    /** @type {number | null} when the microphone last heard a voice */
    this.lastVoice = null;
    /** @type {number | null} when the agent was last heard */
    this.lastSound = null;
    /** Whether the agent was still being heard when the caller's words ended: then the ear cannot tell the answer. */
    this.overlap = false;
    /** How long sound waits here before it is played, in ms; where the ear does not decide, it is added. */
    this.playout = 0;
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
        this.#ended(heard && this.lastVoice !== null ? Math.min(this.lastVoice, now) : now - this.silence);
        break;
      }
      case "conversation.item.create":
        this.#ended(now);
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
   * @param {{firstLoud: number | null, lastLoud: number | null}} reading when it heard a sound, in ms
   * @param {number} now ms
   */
  answer({ firstLoud, lastLoud }, now) {
    this.lastSound = lastLoud ?? this.lastSound;
    if (this.wordsEnded === null || this.answerBegan === null) return;
    const heard = firstLoud !== null && firstLoud > this.wordsEnded && !this.overlap;
    if (!heard && !this.overlap && now - this.answerBegan < SOUND_WAIT_MS) return;
    this.value = Math.round((heard ? firstLoud : this.answerBegan + this.playout) - this.wordsEnded);
    this.wordsEnded = null;
    this.answerBegan = null;
  }

  /** @param {number} at ms */
  #ended(at) {
    this.wordsEnded = at;
    this.answerBegan = null;
    this.overlap = this.lastSound !== null && at - this.lastSound < OVERLAP_MS;
  }
}

/**
 * A voice call to an agent of Perhop: microphone up, the agent's voice down, and every Realtime event in between.
 *
 * ```js
 * import { PerhopCall } from "/web/js/client.js";
 *
 * const call = new PerhopCall();
 * call.on("remote", (stream) => (document.querySelector("audio").srcObject = stream));
 * call.on("response.output_audio_transcript.delta", (event) => console.log(event.delta));
 * await call.connect({ agent: "oneroof" });
 * call.say("Two bedrooms in Oakland, please");
 * call.hangUp();
 * ```
 *
 * Events: every server event under its own type and under `event`; every client event under `sent`; and
 * `step` (microphone, token, call, network: what connecting waits for), `microphone` and `remote` (MediaStream),
 * `network` (`"ok"` or `"weak"`), `failed` (CallError, after the call was up), `ended` (once, always last).
 *
 * @module
 */

import { Emitter } from "./emitter.js";
import { CallError, microphoneError, refusal } from "./errors.js";
import { ResponseRequests } from "./responses.js";

/** How long the media path may take to come up, in ms. */
const CONNECT_TIMEOUT_MS = 15_000;

/** What the microphone is asked for: the browser's own echo canceller, noise suppressor and gain control. */
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * @typedef {object} ConnectOptions
 * @property {string} agent the agent's name, as listed by `/api/agents`
 * @property {boolean | MediaStream} [audio] true: ask for the microphone; false: listen and type only; or a stream of your own
 * @property {RTCIceServer[]} [iceServers] as given by `/api/config`
 */

/** One call. An object makes one call and is then done with. */
export class PerhopCall extends Emitter {
  /** @type {string | null} the call's id (`rtc_…`) once the server has answered */
  id = null;
  /** @type {RTCPeerConnection | null} */
  peer = null;
  /** @type {MediaStream | null} */
  microphone = null;

  #base;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  #abort = new AbortController();
  #secret = "";
  #ownsMicrophone = false;
  #up = false;
  #over = false;
  #responses = new ResponseRequests((event) => this.send(event));

  /** @param {{baseUrl?: string}} [options] where Perhop is; this page's own origin when left out */
  constructor({ baseUrl = globalThis.location?.origin ?? "" } = {}) {
    super();
    this.#base = baseUrl.replace(/\/$/, "");
  }

  /**
   * Makes the call; resolves when the agent can hear and be heard.
   *
   * @param {ConnectOptions} options
   * @returns {Promise<void>}
   * @throws {CallError} says what failed and what to do; everything is tidied up then
   */
  async connect({ agent, audio = true, iceServers = [] }) {
    try {
      if (typeof RTCPeerConnection === "undefined") throw new CallError("no_webrtc");
      if (audio) await this.#openMicrophone(audio);
      this.emit("step", "token");
      this.#secret = await this.#token(agent);
      this.emit("step", "call");
      const peer = this.#openPeer(iceServers);
      await peer.setLocalDescription(await peer.createOffer());
      const answer = await this.#exchange(peer.localDescription?.sdp ?? "");
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      this.emit("step", "network");
      await this.#connected(peer);
      this.#up = true;
    } catch (error) {
      const failure = this.#over ? new CallError("cancelled") : error;
      this.#tidy();
      throw failure instanceof CallError ? failure : new CallError("call_refused", String(failure));
    }
  }

  /**
   * Sends one client event.
   *
   * @param {object} event any event of the Realtime protocol
   * @returns {boolean} false when the call is not up
   */
  send(event) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(event));
    this.emit("sent", event);
    return true;
  }

  /**
   * Says something by text: the agent stops talking, and answers it.
   *
   * @param {string} text
   * @returns {boolean} false when the call is not up
   */
  say(text) {
    if (this.#responses.active !== null) this.send({ type: "response.cancel" });
    this.send({ type: "output_audio_buffer.clear" });
    const content = [{ type: "input_text", text }];
    if (!this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } })) return false;
    this.#responses.request();
    return true;
  }

  /** Whether the microphone is silenced. */
  get muted() {
    return this.microphone?.getAudioTracks().every((track) => !track.enabled) ?? true;
  }

  set muted(muted) {
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** Ends the call, at any moment; does nothing the second time. */
  hangUp() {
    this.#finish();
  }

  /**
   * Calls one of Perhop's own endpoints as this call's caller.
   *
   * @param {string} path for example `/api/calls/rtc_…/stats`
   * @param {object} body sent as JSON
   * @returns {Promise<Response>}
   */
  post(path, body) {
    const headers = { authorization: `Bearer ${this.#secret}`, "content-type": "application/json" };
    return fetch(this.#base + path, { method: "POST", headers, body: JSON.stringify(body), signal: this.#abort.signal });
  }

  /** @param {true | MediaStream} audio */
  async #openMicrophone(audio) {
    this.emit("step", "microphone");
    if (audio instanceof MediaStream) {
      this.microphone = audio;
    } else {
      if (!navigator.mediaDevices) throw new CallError("insecure_context");
      this.#ownsMicrophone = true;
      const stream = await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE }).catch((error) => {
        throw microphoneError(error);
      });
      this.microphone = stream;
      this.#stopIfOver();
    }
    this.emit("microphone", this.microphone);
  }

  /** @param {string} agent */
  async #token(agent) {
    const url = `${this.#base}/api/realtime/token?agent=${encodeURIComponent(agent)}`;
    const response = await this.#fetch(url, { cache: "no-store" });
    if (!response.ok) throw new CallError("token_refused", await refusal(response));
    return String((await response.json()).client_secret);
  }

  /** @param {RTCIceServer[]} iceServers */
  #openPeer(iceServers) {
    this.#stopIfOver();
    const peer = new RTCPeerConnection({ iceServers });
    this.peer = peer;
    const track = this.microphone?.getAudioTracks()[0];
    if (track && this.microphone) peer.addTrack(track, this.microphone);
    else peer.addTransceiver("audio", { direction: "recvonly" });
    peer.addEventListener("track", (event) => this.emit("remote", event.streams[0] ?? new MediaStream([event.track])));
    this.#channel = peer.createDataChannel("oai-events");
    this.#channel.addEventListener("message", (message) => this.#receive(message.data));
    return peer;
  }

  /** @param {string} offer */
  async #exchange(offer) {
    const headers = { authorization: `Bearer ${this.#secret}`, "content-type": "application/sdp" };
    const response = await this.#fetch(`${this.#base}/v1/realtime/calls`, { method: "POST", headers, body: offer });
    if (!response.ok) throw new CallError("call_refused", await refusal(response));
    this.id = response.headers.get("location")?.split("/").at(-1) ?? null;
    return response.text();
  }

  /**
   * @param {string} url
   * @param {RequestInit} options
   */
  async #fetch(url, options) {
    const response = await fetch(url, { ...options, signal: this.#abort.signal }).catch((error) => {
      throw new CallError("unreachable", error instanceof Error ? error.message : String(error));
    });
    this.#stopIfOver();
    return response;
  }

  /**
   * Waits for the first event of the session: then media and data both flow.
   *
   * @param {RTCPeerConnection} peer
   */
  async #connected(peer) {
    await /** @type {Promise<void>} */ (
      new Promise((resolve, reject) => {
        const done = (/** @type {CallError | null} */ error) => {
          clearTimeout(timer);
          stopListening();
          if (error) reject(error);
          else resolve();
        };
        const timer = setTimeout(() => done(new CallError("ice_failed")), CONNECT_TIMEOUT_MS);
        const stopListening = this.on("session.created", () => done(null));
        this.#abort.signal.addEventListener("abort", () => done(new CallError("cancelled")));
        peer.onconnectionstatechange = () => {
          if (peer.connectionState === "failed") done(new CallError("ice_failed"));
        };
      })
    );
    peer.onconnectionstatechange = () => this.#onConnectionState(peer.connectionState);
    this.#channel?.addEventListener("close", () => this.#finish());
  }

  /** @param {RTCPeerConnectionState} state */
  #onConnectionState(state) {
    if (state === "disconnected") this.emit("network", "weak");
    if (state === "connected") this.emit("network", "ok");
    if (state === "failed") this.#finish(new CallError("lost"));
  }

  /** @param {string} data */
  #receive(data) {
    /** @type {any} */
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof event?.type !== "string") return;
    this.#responses.onEvent(event);
    this.emit("event", event);
    this.emit(event.type, event);
  }

  #stopIfOver() {
    if (this.#over) throw new CallError("cancelled");
  }

  /** @param {CallError} [failure] */
  #finish(failure) {
    if (this.#over) return;
    const wasUp = this.#up;
    this.#tidy();
    if (failure) this.emit("failed", failure);
    if (wasUp) this.emit("ended");
  }

  #tidy() {
    this.#over = true;
    this.#abort.abort();
    if (this.#ownsMicrophone) this.microphone?.getTracks().forEach((track) => track.stop());
    this.#channel?.close();
    this.peer?.close();
  }
}

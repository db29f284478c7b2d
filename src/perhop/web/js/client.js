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
 * `network` (`"weak"`: lost, and tried again; `"ok"`), `failed` (CallError, after the call was up), `ended` (once, always
 * last). A connection that is lost is made anew, and the call goes on: `session.created` comes again, and `remote`.
 *
 * @module
 */

import { Emitter } from "./emitter.js";
import { CallError, microphoneError, refusal } from "./errors.js";
import { ResponseRequests } from "./responses.js";
import { wayBack } from "./way_back.js";

/** How long the media path may take to come up, in ms. */
const CONNECT_TIMEOUT_MS = 15_000;

/** The same for a further one, and for the server's answer to its offer: there, trying again is better than waiting. */
const RECONNECT_TIMEOUT_MS = 6_000;

/** What the microphone is asked for: the browser's own echo canceller, noise suppressor and gain control. */
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/**
 * @typedef {object} ConnectOptions
 * @property {string} agent the agent's name, as listed by `/api/agents`
 * @property {boolean | MediaStream} [audio] true: ask for the microphone; false: listen and type only; or a stream of your own
 * @property {RTCIceServer[]} [iceServers] as given by `/api/config`
 */

/** @typedef {{peer: RTCPeerConnection, channel: RTCDataChannel}} Link a connection to Perhop */

/** One call. An object makes one call and is then done with. */
export class PerhopCall extends Emitter {
  /** @type {string | null} the call's id (`rtc_…`) once the server has answered */
  id = null;
  /** @type {RTCPeerConnection | null} */
  peer = null;
  /** @type {MediaStream | null} */
  microphone = null;

  #base;
  /** @type {Link | null} */
  #link = null;
  /** @type {Link | null} the connection that is to take its place */
  #next = null;
  /** @type {RTCIceServer[]} */
  #iceServers = [];
  /** @type {string | null} with which a call that was lost is found again; null where calls are not kept */
  #wayBack = null;
  #reconnecting = false;
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
      this.#iceServers = iceServers;
      const link = this.#openLink();
      this.#use(link);
      await this.#offer(link, "/v1/realtime/calls", this.#secret);
      this.emit("step", "network");
      await this.#connected(link);
      this.#watch(link);
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
    if (this.#link?.channel.readyState !== "open") return false;
    this.#link.channel.send(JSON.stringify(event));
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

  /** @returns {Link} a connection that nothing was asked of yet */
  #openLink() {
    this.#stopIfOver();
    const peer = new RTCPeerConnection({ iceServers: this.#iceServers });
    const track = this.microphone?.getAudioTracks()[0];
    if (track && this.microphone) peer.addTrack(track, this.microphone);
    else peer.addTransceiver("audio", { direction: "recvonly" });
    const link = { peer, channel: peer.createDataChannel("oai-events") };
    peer.addEventListener("track", (event) => this.emit("remote", event.streams[0] ?? new MediaStream([event.track])));
    link.channel.addEventListener("message", (message) => {
      if (link === this.#link || link === this.#next) this.#receive(message.data);
    });
    return link;
  }

  /** @param {Link} link goes over this one from now on */
  #use(link) {
    this.#link = link;
    this.peer = link.peer;
  }

  /**
   * Offer out, answer in.
   *
   * @param {Link} link
   * @param {string} path
   * @param {string} secret
   */
  async #offer({ peer }, path, secret) {
    await peer.setLocalDescription(await peer.createOffer());
    const headers = { authorization: `Bearer ${secret}`, "content-type": "application/sdp" };
    const response = await this.#fetch(this.#base + path, { method: "POST", headers, body: peer.localDescription?.sdp });
    if (!response.ok) {
      if (this.#up && response.status === 404) throw new CallError("gone");
      const later = response.status === 429 || response.status >= 500;
      throw new CallError(this.#up && later ? "unreachable" : "call_refused", await refusal(response));
    }
    this.id = response.headers.get("location")?.split("/").at(-1) ?? null;
    this.#wayBack = response.headers.get("perhop-resume");
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    this.#stopIfOver();
  }

  /**
   * @param {string} url
   * @param {RequestInit} options
   */
  async #fetch(url, options) {
    const signals = this.#up ? [this.#abort.signal, AbortSignal.timeout(RECONNECT_TIMEOUT_MS)] : [this.#abort.signal];
    const response = await fetch(url, { ...options, signal: AbortSignal.any(signals) }).catch((error) => {
      this.#stopIfOver();
      throw new CallError("unreachable", error instanceof Error ? error.message : String(error));
    });
    this.#stopIfOver();
    return response;
  }

  /**
   * Waits for the first event of the session: then media and data both flow.
   *
   * @param {Link} link
   */
  async #connected({ peer }) {
    await /** @type {Promise<void>} */ (
      new Promise((resolve, reject) => {
        const done = (/** @type {CallError | null} */ error) => {
          clearTimeout(timer);
          stopListening();
          if (error) reject(error);
          else resolve();
        };
        const patience = this.#up ? RECONNECT_TIMEOUT_MS : CONNECT_TIMEOUT_MS;
        const timer = setTimeout(() => done(new CallError("ice_failed")), patience);
        const stopListening = this.on("session.created", () => done(null));
        this.#abort.signal.addEventListener("abort", () => done(new CallError("cancelled")));
        peer.onconnectionstatechange = () => {
          if (peer.connectionState === "failed") done(new CallError("ice_failed"));
        };
      })
    );
  }

  /** Follows what becomes of the connection in use. @param {Link} link */
  #watch(link) {
    const { peer, channel } = link;
    peer.onconnectionstatechange = () => {
      if (link !== this.#link || this.#over) return;
      if (peer.connectionState === "disconnected" || peer.connectionState === "failed") void this.#reconnect(link);
    };
    channel.addEventListener("close", () => {
      if (link !== this.#link || this.#reconnecting) return;
      // Perhop closes it at the end of a call, while all is well; otherwise it was the network.
      if (peer.connectionState === "connected") this.#finish();
      else void this.#reconnect(link);
    });
  }

  /** The connection is lost: makes another one for the same call, unless this one recovers first. @param {Link} lost */
  async #reconnect(lost) {
    if (this.#reconnecting || this.#over) return;
    this.#reconnecting = true;
    this.emit("network", "weak");
    try {
      await wayBack({ attempt: () => this.#comeBack(lost) });
    } catch (error) {
      this.#reconnecting = false;
      this.#finish(error instanceof CallError ? error : new CallError("lost", String(error)));
      return;
    }
    this.#reconnecting = false;
    if (this.#over) return;
    this.emit("network", "ok");
    const state = this.#link?.peer.connectionState;
    if (this.#link && (state === "disconnected" || state === "failed")) void this.#reconnect(this.#link);
  }

  /** One attempt at another connection. @param {Link} lost */
  async #comeBack(lost) {
    const taken = lost.peer.connectionState === "closed";
    if (lost.peer.connectionState === "connected" && lost.channel.readyState === "open") return;
    if (this.#wayBack === null) {
      if (lost.peer.connectionState !== "disconnected") throw new CallError("call_refused");
      throw new CallError("lost"); // it may recover by itself
    }
    const link = this.#openLink();
    try {
      await this.#offer(link, `/api/calls/${this.id}/resume`, this.#wayBack);
      if (!taken) lost.peer.close(); // the call has let go of it
      this.#responses.reset();
      this.#next = link;
      await this.#connected(link);
    } catch (error) {
      link.peer.close();
      throw error;
    } finally {
      this.#next = null;
    }
    this.#use(link);
    this.#watch(link);
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
    if (this.#reconnecting && this.id) this.#letGo(this.id);
    this.#tidy();
    if (failure) this.emit("failed", failure);
    if (wasUp) this.emit("ended");
  }

  /** There is no connection to close, and the call need not be kept. @param {string} id */
  #letGo(id) {
    const headers = { authorization: `Bearer ${this.#secret}` };
    fetch(`${this.#base}/v1/realtime/calls/${id}/hangup`, { method: "POST", headers, keepalive: true }).catch(() => null);
  }

  #tidy() {
    this.#over = true;
    this.#abort.abort();
    if (this.#ownsMicrophone) this.microphone?.getTracks().forEach((track) => track.stop());
    for (const link of [this.#next, this.#link]) {
      link?.channel.close();
      link?.peer.close();
    }
  }
}

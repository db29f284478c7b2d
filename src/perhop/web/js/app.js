/**
 * The demo page: pick an agent, call it, see everything.
 *
 * @module
 */

import { getJson, showAgents, showPhrases } from "./agents.js";
import { ConversationView } from "./conversation_view.js";
import { byId, clock, setText, spokenName } from "./dom.js";
import { CallError } from "./errors.js";
import { leaveNote, takeNote } from "./left.js";
import { Line } from "./line.js";
import { Session } from "./session.js";
import { Trace } from "./trace.js";

/** @typedef {import("./agents.js").AgentCard} AgentCard */

const voice = byId("voice");
const composer = /** @type {HTMLFormElement} */ (byId("composer"));
const words = /** @type {HTMLInputElement} */ (byId("words"));
const buttons = {
  call: /** @type {HTMLButtonElement} */ (byId("call")),
  type: /** @type {HTMLButtonElement} */ (byId("call-typing")),
  hangUp: /** @type {HTMLButtonElement} */ (byId("hang-up")),
  mute: /** @type {HTMLButtonElement} */ (byId("mute")),
};
const meter = byId("meter");

/** @type {AgentCard | null} */
let agent = null;
/** @type {Session | null} */
let session = null;
/** @type {RTCIceServer[]} */
let iceServers = [];
/** What to say as soon as the call is up: a phrase that was pressed before. @type {string | null} */
let firstWords = null;
/** @type {() => void} what "Try again" does */
let again = () => {};

/** @type {import("./session.js").Views} */
const views = {
  conversation: new ConversationView(byId("turns"), byId("scroller"), byId("announcer")),
  line: new Line(),
  trace: new Trace(/** @type {HTMLCanvasElement} */ (byId("trace"))),
  level: showLevel,
  activity: showActivity,
  voice: /** @type {HTMLAudioElement} */ (voice),
};

/** What each activity is called, and what a caller can do then. @type {Record<string, (title: string) => [string, string]>} */
const WORDS = {
  idle: () => ["Ready to call", "Pick an agent, then press Call."],
  connecting: () => ["Connecting", ""],
  reconnecting: () => ["Reconnecting …", "The connection was lost. Your call is kept for a minute."],
  listening: (title) => ["Listening", `Go ahead, ${title} hears you.`],
  hearing: (title) => ["Hearing you", `${title} answers when you pause.`],
  thinking: () => ["Thinking", "The answer is on its way."],
  speaking: (title) => [`${title} is speaking`, "Talk over it any time, it stops."],
  stalled: () => ["No sound arrives …", "If the connection is lost, this page makes another one by itself."],
  ended: () => ["Call ended", ""],
};

/** What connecting waits for. @type {Record<string, string>} */
const STEPS = {
  microphone: "Your browser asks for the microphone.",
  token: "Getting a token for this call …",
  call: "Ringing …",
  network: "Finding the way for the audio …",
};

/** @param {'lobby' | 'calling' | 'call' | 'after'} phase */
function setPhase(phase) {
  document.body.dataset.phase = phase;
  const up = phase === "call";
  const busy = up || phase === "calling";
  buttons.call.hidden = buttons.type.hidden = busy;
  buttons.hangUp.hidden = !busy;
  buttons.mute.hidden = !(up && session?.call.microphone);
  setText(byId("dial-heading"), busy ? "In a call with" : "Who to call");
  setText(byId("hang-up-text"), up ? "Hang up" : "Cancel");
  words.disabled = !up;
  /** @type {HTMLButtonElement} */ (byId("send")).disabled = !up;
  words.placeholder = up ? "Or type instead" : "Call first, then type or talk";
  for (const input of document.querySelectorAll("#agents input")) /** @type {HTMLInputElement} */ (input).disabled = busy;
}

/** @param {boolean} microphone */
async function call(microphone) {
  if (!agent || session) return;
  again = () => void call(microphone);
  hideProblem();
  const mine = new Session(agent, views);
  session = mine;
  document.body.dataset.microphone = microphone ? "on" : "off";
  setPhase("calling");
  buttons.hangUp.focus();
  mine.call.on("step", (step) => setText(byId("state-hint"), STEPS[step] ?? ""));
  mine.call.on("failed", showProblem);
  mine.call.on("ended", () => finish(mine));
  try {
    await mine.start(microphone, iceServers);
  } catch (error) {
    finish(mine);
    if (!(error instanceof CallError)) throw error;
    if (error.code !== "cancelled") showProblem(error);
    return;
  }
  setPhase("call");
  setText(byId("mute-text"), "Mute");
  buttons.mute.setAttribute("aria-pressed", "false");
  if (!microphone) words.focus();
  if (firstWords) mine.call.say(firstWords);
  firstWords = null;
}

/** @param {Session} over */
function finish(over) {
  if (session !== over) return;
  session = null;
  over.stop();
  const wasUp = document.body.dataset.phase === "call";
  setPhase(wasUp ? "after" : "lobby");
  showActivity(wasUp ? "ended" : "idle", over);
  if (wasUp) setText(byId("state-hint"), `It lasted ${clock(performance.now() - over.startedAt)}.`);
  if (document.activeElement === document.body || document.activeElement === null) buttons.call.focus();
}

/**
 * @param {string} activity
 * @param {Session | null} shown
 */
function showActivity(activity, shown) {
  if (document.body.dataset.activity !== activity) document.body.dataset.activity = activity;
  const [text, hint] = WORDS[activity](shown?.agent.title ?? "");
  words.disabled = document.body.dataset.phase !== "call" || activity === "reconnecting";
  const tool = activity === "thinking" ? shown?.tracker.tool : null;
  const typing = activity === "listening" && !shown?.call.microphone;
  setText(byId("state"), tool ? "Using a tool" : typing ? "Ready" : text);
  if (activity === "connecting" || activity === "ended") return;
  const silent = activity === "listening" && shown?.call.microphone && shown.call.muted;
  const line = tool ? `“${spokenName(tool)}” is running.` : silent ? "Your microphone is muted." : hint;
  setText(byId("state-hint"), typing ? "This call has no microphone: type below." : line);
}

/** @param {number} level 0…1 */
function showLevel(level) {
  meter.style.setProperty("--level", level.toFixed(3));
  const percent = String(Math.round(level * 10) * 10);
  if (meter.getAttribute("aria-valuenow") !== percent) meter.setAttribute("aria-valuenow", percent);
}

/** @param {CallError} error */
function showProblem(error) {
  setText(byId("problem-title"), error.title);
  setText(byId("problem-advice"), error.advice);
  setText(byId("problem-detail"), error.detail);
  byId("problem-type").hidden = !error.typingHelps;
  byId("problem").hidden = false;
  byId("problem-again").focus();
}

function hideProblem() {
  byId("problem").hidden = true;
}

/** @param {string} text says it, calling first if need be */
function say(text) {
  if (session && document.body.dataset.phase === "call") {
    session.call.say(text);
  } else if (!session) {
    firstWords = text;
    void call(true);
  }
}

async function load() {
  again = () => void load();
  hideProblem();
  try {
    const [agents, config] = await Promise.all([getJson("/api/agents"), getJson("/api/config")]);
    iceServers = config.ice_servers ?? [];
    showAgents(byId("agents"), agents, (chosen) => {
      agent = chosen;
      views.line.route(chosen);
      showPhrases(byId("phrases"), chosen.phrases ?? [], say);
      byId("try").hidden = !chosen.phrases?.length;
    });
    buttons.call.disabled = buttons.type.disabled = agents.length === 0;
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    showProblem(error);
  }
}

buttons.call.addEventListener("click", () => void call(true));
buttons.type.addEventListener("click", () => void call(false));
buttons.hangUp.addEventListener("click", () => session && finish(session));
buttons.mute.addEventListener("click", () => {
  if (!session) return;
  session.call.muted = !session.call.muted;
  buttons.mute.setAttribute("aria-pressed", String(session.call.muted));
  setText(byId("mute-text"), session.call.muted ? "Unmute" : "Mute");
});
byId("problem-again").addEventListener("click", () => again());
byId("problem-type").addEventListener("click", () => void call(false));
byId("problem-close").addEventListener("click", () => {
  firstWords = null;
  hideProblem();
});
composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = words.value.trim();
  if (!text || !session) return;
  say(text);
  words.value = "";
});
document.addEventListener("click", () => voice instanceof HTMLAudioElement && voice.srcObject && voice.paused && void voice.play());
addEventListener("pagehide", () => {
  if (!session) return;
  leaveNote(session.agent.title);
  finish(session);
});

setPhase("lobby");
showActivity("idle", null);
const left = takeNote();
if (left !== null) {
  setText(byId("state"), "Call ended");
  setText(byId("state-hint"), `Reloading the page hung up on ${left}. Press Call to call again.`);
}
void load();

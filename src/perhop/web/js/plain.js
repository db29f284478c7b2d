// A page written for any Realtime model: nothing here is Perhop's but the two addresses.
const TOKEN_URL = "/api/realtime/token";
const CALLS_URL = "/v1/realtime/calls";

const $ = (id) => document.getElementById(id);
const log = (line) => $("log").append(`${line}\n`);
let events;

async function start() {
  const { client_secret } = await (await fetch(TOKEN_URL + location.search)).json();

  const pc = new RTCPeerConnection();
  pc.ontrack = ({ streams }) => ($("voice").srcObject = streams[0]);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  pc.addTrack(microphone.getTracks()[0], microphone);

  events = pc.createDataChannel("oai-events");
  events.onmessage = ({ data }) => log(JSON.parse(data).type);

  await pc.setLocalDescription(await pc.createOffer());
  const answer = await fetch(CALLS_URL, {
    method: "POST",
    headers: { Authorization: `Bearer ${client_secret}`, "Content-Type": "application/sdp" },
    body: pc.localDescription.sdp,
  });
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
}

function send() {
  const content = [{ type: "input_text", text: $("words").value }];
  events.send(JSON.stringify({ type: "conversation.item.create", item: { type: "message", role: "user", content } }));
  events.send(JSON.stringify({ type: "response.create" }));
}

$("start").onclick = () => start().catch((error) => log(`failed: ${error.message}`));
$("send").onclick = send;

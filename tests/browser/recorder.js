// Runs before the page's own scripts: keeps what every call of the page receives (audio, events) and sends, for the tests.
(() => {
  const MAX_SECONDS = 120;
  const recorder = { chunks: [], rate: 48000, samples: 0, events: [], sent: [], peers: [] };

  async function record(track) {
    const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      recorder.rate = value.sampleRate;
      value.close();
      if (recorder.samples > MAX_SECONDS * recorder.rate) continue;
      recorder.samples += samples.length;
      recorder.chunks.push(Int16Array.from(samples, (sample) => Math.max(-1, Math.min(1, sample)) * 32767));
    }
  }

  recorder.take = async () => {
    const buffer = await new Blob(recorder.chunks).arrayBuffer();
    let text = "";
    for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
    return [btoa(text), recorder.rate];
  };

  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...options) {
      super(...options);
      recorder.peers.push(this);
      this.addEventListener("track", (event) => void record(event.track));
    }

    createDataChannel(...options) {
      const channel = super.createDataChannel(...options);
      const send = channel.send.bind(channel);
      channel.addEventListener("message", ({ data }) => recorder.events.push({ at: performance.now(), ...JSON.parse(data) }));
      channel.send = (data) => (recorder.sent.push({ at: performance.now(), ...JSON.parse(data) }), send(data));
      return channel;
    }
  };
  window.recorder = recorder;
})();

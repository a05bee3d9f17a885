// Reading a QR code with the camera, where the browser can.

import { fill, h } from "./dom.js";

/** A button that opens the camera and follows what it reads. */
export function scanner(label) {
  const place = h("div.scanner");
  const button = h("button", { class: "primary", onclick: start }, label);
  const hint = h("p.hint");
  async function start() {
    if (!("BarcodeDetector" in window) || !navigator.mediaDevices) {
      hint.textContent = "This browser reads no codes here. Point the phone’s own camera at the code: it opens the link.";
      return;
    }
    const video = h("video", { playsinline: true, muted: true });
    let stream;
    const stop = () => { view.remove(); stream?.getTracks().forEach((track) => track.stop()); };
    const view = h("div", video, h("button", { onclick: stop }, "Stop"));
    fill(place, view);
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      await video.play();
      await look(video);
    } catch {
      hint.textContent = "The camera is not available. Allow it for this site, or use the phone’s own camera.";
    } finally {
      stop();
    }
  }
  async function look(video) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    const { open } = await import("./view-landing.js");
    while (video.isConnected) {
      const [code] = await detector.detect(video);
      if (code) { hint.textContent = open(code.rawValue, document.getElementById("main")) ?? ""; return; }
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  }
  return h("div", button, place, hint);
}

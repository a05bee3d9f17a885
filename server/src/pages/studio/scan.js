// Reading a QR code with the camera, where the browser can.

import { fill, h } from "./dom.js";

/** A button that opens the camera and follows what it reads. */
export function scanner(label) {
  const place = h("div", { class: "scanner" });
  const button = h("button", { type: "button", class: "primary", onclick: start }, label);
  const hint = h("p", { class: "hint" });
  async function start() {
    if (!("BarcodeDetector" in window) || !navigator.mediaDevices) {
      hint.textContent = "This browser reads no codes here. Point the phone’s own camera at the code: it opens the link.";
      return;
    }
    const video = h("video", { playsinline: true, muted: true });
    fill(place, video);
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      await video.play();
      await look(video);
      stream.getTracks().forEach((track) => track.stop());
    } catch {
      hint.textContent = "The camera is not available. Allow it for this site, or use the phone’s own camera.";
    }
    fill(place);
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
  return h("div", null, button, place, hint);
}

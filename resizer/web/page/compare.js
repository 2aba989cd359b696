// Two versions of an image on top of each other, with a slider between them.

import { el, icon } from "./dom.js";
import { compressedPath, originalAddress } from "./pictures.js";
import { saving, size } from "./words.js";

/** Open the comparison of an image with its original; `place` is its position in the request. */
export function compare({ id, place, image, what }) {
  const stop = new AbortController();
  const before = el("img", { class: "before", alt: `Before: ${what}` });
  const after = el("img", { class: "after", alt: `After: ${what}`, src: compressedPath(image) });
  const slider = el("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, "aria-label": "Share of the original that is shown" });
  const message = el("p", { class: "notice", role: "status" }, "Fetching the original …");
  const handle = el("span", { class: "handle", "aria-hidden": "true" }, icon("left"), icon("right"));
  const picture = el("div", { class: "picture" }, after, before, handle);
  const stage = el("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "The image before and after" }, picture);
  const moved = () => {
    picture.style.setProperty("--cut", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${Math.round(slider.value)} % before`);
  };
  slider.addEventListener("input", moved);
  const whole = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
    const full = stage.classList.toggle("full");
    whole.setAttribute("aria-pressed", full);
  } }, "Full size");
  const dialog = el(
    "dialog",
    { class: "compare", "aria-labelledby": "compare-title", onclose: () => { stop.abort(); dialog.remove(); } },
    el("header", {},
      el("div", {}, el("h2", { id: "compare-title" }, what), el("p", { class: "quiet" }, `${image.width} × ${image.height} · ${image.format.toUpperCase()}`)),
      el("div", { class: "actions" }, whole, el("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => dialog.close() }, icon("close")))),
    stage,
    message,
    el("footer", {},
      el("span", {}, el("span", { class: "quiet" }, "Before "), el("strong", {}, size(image.input_bytes))),
      slider,
      el("span", {}, el("span", { class: "quiet" }, "After "), el("strong", {}, size(image.output_bytes)), " ", el("span", { class: "saving" }, saving(image.input_bytes, image.output_bytes)))),
  );
  drag(picture, stage, slider, moved);
  moved();
  document.body.append(dialog);
  dialog.showModal();
  slider.focus();
  load(before, { id, place, signal: stop.signal }, { picture, message, slider });
}

async function load(before, { id, place, signal }, { picture, message, slider }) {
  try {
    before.src = await originalAddress(id, place, signal);
    await before.decode();
    message.remove();
    picture.classList.add("both");
  } catch {
    if (signal.aborted) return;
    before.remove();
    slider.disabled = true;
    message.textContent = "The original is no longer available from its host, or this browser cannot show its format. This is the compressed image.";
  }
}

/** Also move the slider with the pointer on the picture. */
function drag(picture, stage, slider, moved) {
  const to = (event) => {
    const box = picture.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    moved();
  };
  picture.addEventListener("pointerdown", (event) => {
    if (slider.disabled || event.button !== 0 || (event.pointerType !== "mouse" && stage.classList.contains("full"))) return;
    picture.setPointerCapture(event.pointerId);
    to(event);
  });
  picture.addEventListener("pointermove", (event) => picture.hasPointerCapture(event.pointerId) && to(event));
  picture.addEventListener("dragstart", (event) => event.preventDefault());
}

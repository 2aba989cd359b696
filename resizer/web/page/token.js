// Keep the token that the service wants, and ask for it once.

import { el } from "./dom.js";

const KEY = "resizer-token";

let asking = null;

export const token = () => localStorage.getItem(KEY);

export function forgetToken() {
  localStorage.removeItem(KEY);
  location.reload();
}

/** Ask for the token, however many calls want it; resolves to whether one was given. */
export function askToken() {
  asking ??= shown().finally(() => { asking = null; });
  return asking;
}

function shown() {
  const before = token();
  return new Promise((resolve) => {
    const field = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
    const dialog = el(
      "dialog",
      { class: "ask", "aria-labelledby": "token-title", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "given"); } },
      el("form", { onsubmit: (event) => {
        event.preventDefault();
        localStorage.setItem(KEY, field.value.trim());
        document.getElementById("forget").hidden = false;
        dialog.close("given");
      } },
      el("h2", { id: "token-title" }, "This service wants a token"),
      before ? el("p", { class: "bad", role: "alert" }, "The token was not accepted.") : null,
      el("p", {}, "Whoever runs the service has given you one. It stays in this browser."),
      el("label", { for: "token" }, "Token"),
      field,
      el("div", { class: "actions end" },
        el("button", { type: "button", onclick: () => dialog.close() }, "Not now"),
        el("button", { class: "primary" }, "Go on"))),
    );
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}

// Ask for the API token once, and keep it in this browser.

import { el } from "./dom.js";

const KEY = "resizer-token";

let asking = null;
let given = null; // the token, if the browser has no storage for pages

export function token() {
  try {
    return localStorage.getItem(KEY) ?? given;
  } catch {
    return given;
  }
}

function keep(text) {
  given = text;
  try {
    localStorage.setItem(KEY, text);
  } catch {
    // the next visit asks again
  }
}

export function forgetToken() {
  try {
    localStorage.removeItem(KEY);
  } finally {
    location.reload();
  }
}

/** Ask for a token to replace the refused one; concurrent calls share one dialog. Resolves to true if there is one. */
export function askToken(refused) {
  if (token() && token() !== refused) return Promise.resolve(true);
  asking ??= shown().finally(() => { asking = null; });
  return asking;
}

function shown() {
  const before = token();
  return new Promise((resolve) => {
    const field = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false", pattern: "\\s*[!-~]+\\s*", title: "Letters, digits and punctuation, without spaces." });
    const dialog = el(
      "dialog",
      { class: "ask", "aria-labelledby": "token-title", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "given"); } },
      el("form", { onsubmit: (event) => {
        event.preventDefault();
        keep(field.value.trim());
        document.getElementById("forget").hidden = false;
        dialog.close("given");
      } },
      el("h2", { id: "token-title" }, "This service requires a token"),
      before ? el("p", { class: "bad", role: "alert" }, "The token was not accepted.") : null,
      el("p", {}, "The operator of the service provides it. It is stored in this browser only."),
      el("label", { for: "token" }, "Token"),
      field,
      el("div", { class: "actions end" },
        el("button", { type: "button", onclick: () => dialog.close() }, "Not now"),
        el("button", { class: "primary" }, "Continue"))),
    );
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}

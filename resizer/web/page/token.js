// Store the service's token, and ask for it once.

import { el } from "./dom.js";

const KEY = "resizer-token";

let asking = null;
let unsaved = null; // until the page is closed, for browsers without local storage

export function token() {
  try {
    return localStorage.getItem(KEY) ?? unsaved;
  } catch {
    return unsaved;
  }
}

function keep(text) {
  unsaved = text;
  try {
    localStorage.setItem(KEY, text);
  } catch {
    // `unsaved` has it until the page is closed
  }
}

export function forgetToken() {
  try {
    localStorage.removeItem(KEY);
  } finally {
    location.reload();
  }
}

/** Ask for a token in place of the refused one; concurrent callers share one dialog. Resolves to whether there is one. */
export function askToken(refused) {
  if (token() && token() !== refused) return Promise.resolve(true);
  asking ??= showDialog().finally(() => { asking = null; });
  return asking;
}

function showDialog() {
  const before = token();
  return new Promise((resolve) => {
    const field = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false", pattern: "\\s*[!-~]+\\s*", title: "Letters, digits and punctuation, without spaces" });
    const dialog = el(
      "dialog",
      { class: "ask", "aria-labelledby": "token-title", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "given"); } },
      el("form", { onsubmit: (event) => {
        event.preventDefault();
        keep(field.value.trim());
        document.getElementById("forget").hidden = false;
        dialog.close("given");
      } },
      el("h2", { id: "token-title" }, "This service needs a token"),
      before ? el("p", { class: "bad", role: "alert" }, "The token was not accepted.") : null,
      el("p", {}, "Enter the token from the operator of the service. It is stored in this browser only."),
      el("label", { for: "token" }, "Token"),
      field,
      el("div", { class: "actions end" },
        el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        el("button", { class: "primary" }, "Continue"))),
    );
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}

// Keep the token that the service wants, and ask for it once.

import { el } from "./dom.js";

const KEY = "resizer-token";

let asking = null;
let given = null; // where the browser keeps nothing for pages, until this one is left

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
    // it is asked for again next time
  }
}

export function forgetToken() {
  try {
    localStorage.removeItem(KEY);
  } finally {
    location.reload();
  }
}

/** Ask for a token in place of the one refused, however many calls want it; resolves to whether there is one. */
export function askToken(refused) {
  if (token() && token() !== refused) return Promise.resolve(true);
  asking ??= shown().finally(() => { asking = null; });
  return asking;
}

function shown() {
  const before = token();
  return new Promise((resolve) => {
    const field = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false", pattern: "\\s*[!-~]+\\s*", title: "letters, digits and signs, without spaces" });
    const dialog = el(
      "dialog",
      { class: "ask", "aria-labelledby": "token-title", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "given"); } },
      el("form", { onsubmit: (event) => {
        event.preventDefault();
        keep(field.value.trim());
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

// Show the view of the current address.

import { showHistory } from "./history.js";
import { showStart } from "./start.js";
import { forgetToken, token } from "./token.js";
import { showWatch } from "./watch.js";

const settings = JSON.parse(document.querySelector('meta[name="resizer"]').content);
const main = document.getElementById("main");
const banner = document.getElementById("connection");
const forget = document.getElementById("forget");

let leave = new AbortController();

/** Return what a view needs: its element, its signal, the settings, and how to report a lost connection. */
function viewContext(signal) {
  return {
    main,
    signal,
    settings,
    lost(isLost) {
      banner.hidden = !isLost;
      banner.textContent = isLost ? "The connection to the service is lost. Reconnecting …" : "";
    },
  };
}

function route() {
  leave.abort();
  // their questions concern the view that is left
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  leave = new AbortController();
  const here = viewContext(leave.signal);
  here.lost(false);
  main.replaceChildren();
  document.title = "resizer";
  const [, first, id] = location.hash.split("/");
  for (const link of document.querySelectorAll(".top nav a")) {
    const current = link.getAttribute("href") === (first ? "#/requests" : "#/");
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (first === "requests" && id) showWatch(here, encodeURIComponent(id));
  else if (first === "requests") showHistory(here);
  else showStart(here);
}

addEventListener("hashchange", () => {
  if (!location.hash.startsWith("#/") && location.hash) return; // the link to the content
  scrollTo(0, 0);
  route();
  main.focus({ preventScroll: true });
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") event.preventDefault();
});
forget.addEventListener("click", forgetToken);
forget.hidden = !token();
// a link cannot send a token
document.querySelector('.top a[href="docs"]').hidden = settings.tokens;
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
// a file dropped elsewhere must not replace the page
for (const kind of ["dragover", "drop"]) {
  addEventListener(kind, (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
}
route();

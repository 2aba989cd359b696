// All requests, newest first.

import { json, Problem } from "./api.js";
import { el, icon } from "./dom.js";
import { age, count, saving, size, statusName } from "./words.js";

const PAGE = 20;
const AGAIN = 3_000; // ms between updates while a request is in progress

export async function showHistory(here) {
  const list = el("div", {}, el("p", { class: "card busy", role: "status" }, "Loading …"));
  here.main.append(el("div", { class: "title" }, el("h1", {}, "Requests"), el("a", { href: "#/", class: "button primary" }, "New")), list);
  document.title = "Requests · resizer";
  const shown = { rows: [], next: null, pages: 1 };
  let loading = false;
  const load = async () => {
    if (loading) return;
    loading = true;
    try {
      await read(shown, here.signal);
      here.lost(false);
      draw(list, shown, load);
    } catch (error) {
      if (here.signal.aborted) return;
      if (shown.rows.length && !(error instanceof Problem)) {
        here.lost(true);
      } else {
        shown.rows = [];
        list.replaceChildren(failed(error, load));
      }
    } finally {
      loading = false;
    }
  };
  await load();
  if (here.signal.aborted) return;
  const timer = setInterval(() => {
    if (!document.hidden && shown.rows.some((each) => !each.done)) load();
  }, AGAIN);
  here.signal.addEventListener("abort", () => clearInterval(timer));
}

async function read(shown, signal) {
  const rows = [];
  let after = "";
  for (let page = 0; page < shown.pages && after !== null; page += 1) {
    const { data, next } = await json(`requests?limit=${PAGE}${after && `&after=${after}`}`, { signal });
    rows.push(...data);
    after = next;
  }
  shown.rows = rows;
  shown.next = after;
}

function draw(list, shown, load) {
  if (!shown.rows.length) {
    list.replaceChildren(el("div", { class: "card empty" },
      icon("picture"),
      el("h2", {}, "Nothing here yet"),
      el("p", {}, "Requests that you send are listed here."),
      el("p", {}, el("a", { href: "#/", class: "button primary" }, "Choose a CSV"))));
    return;
  }
  const focused = document.activeElement?.closest("tr")?.dataset.id;
  const older = document.activeElement?.closest(".center");
  const names = ["File", "Status", "Images", "Saved", "Uploaded"];
  list.replaceChildren(
    el("table", { class: "card requests" },
      el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, shown.rows.map(row))),
    shown.next === null ? "" : el("p", { class: "center" }, el("button", { type: "button", onclick: () => { shown.pages += 1; load(); } }, "Show older requests")));
  if (older) list.querySelector(".center button")?.focus();
  if (focused) list.querySelector(`tr[data-id="${CSS.escape(focused)}"] a`)?.focus();
}

function row(state) {
  const { total, completed, failed } = state.images;
  const { input, output, saved } = state.bytes;
  const cell = (name, ...content) => el("td", { "data-name": name }, ...content);
  return el("tr", { "data-id": state.request_id },
    el("th", { scope: "row" }, el("a", { href: `#/requests/${state.request_id}` }, state.filename)),
    cell("Status", el("span", { class: `pill ${state.status}` }, statusName(state.status))),
    cell("Images", `${count(completed)} of ${count(total)}`, failed ? el("span", { class: "bad" }, ` · ${count(failed)} failed`) : ""),
    cell("Saved", completed ? `${size(Math.max(saved, 0))} ` : "–", completed ? el("span", { class: "saving" }, saving(input, output)) : ""),
    cell("Uploaded", el("time", { datetime: state.created_at, title: new Date(state.created_at).toLocaleString() }, age(state.created_at))));
}

function failed(error, load) {
  return el("div", { class: "card empty", role: "alert" },
    icon("alert"),
    el("h2", {}, "Cannot show the requests"),
    el("p", {}, error.message),
    el("p", {}, el("button", { type: "button", onclick: load }, "Try again")));
}

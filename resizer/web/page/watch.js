// One request: its progress, its images, and its actions.

import { call, Problem, save } from "./api.js";
import { announce, ask, el, icon, write } from "./dom.js";
import { follow } from "./follow.js";
import { Gallery } from "./gallery.js";
import { age, count, duration, many, optionsText, saving, size, statusName } from "./words.js";

const RATE_OVER = 10_000; // ms; window of the rate
const REFRESH = 1_000; // ms between updates of the visible images

export function showWatch({ main, signal, lost }, id) {
  new Watch(main, signal, lost, id).begin();
}

class Watch {
  constructor(main, signal, lost, id) {
    this.main = main;
    this.signal = signal;
    this.lost = lost;
    this.id = id;
    this.announced = -1; // tenths of the images done
    this.seen = []; // [time, images done], for the rate
  }

  async begin() {
    this.main.replaceChildren(el("div", { class: "card busy", role: "status" }, "Loading …"));
    await this.follow();
  }

  async follow() {
    try {
      await follow(this.id, { onstate: (state) => this.show(state), onlost: this.lost, signal: this.signal });
    } catch (error) {
      if (this.signal.aborted) return;
      this.missing(error);
    }
  }

  missing(error) {
    const gone = error instanceof Problem && error.status === 404;
    document.title = "resizer";
    this.main.replaceChildren(el("div", { class: "card empty" },
      icon("picture"),
      el("h1", {}, gone ? "There is no such request" : "Cannot show this request"),
      el("p", {}, gone ? "It may have been deleted, or the address is incomplete." : error.message),
      el("p", {}, el("a", { href: "#/requests", class: "button" }, "All requests"))));
  }

  show(state) {
    if (this.signal.aborted) return;
    if (!this.title) this.draw(state);
    this.state = state;
    const { total, completed, failed, cancelled, pending } = state.images;
    const done = total - pending;
    const share = total ? done / total : 1;
    write(this.status, statusName(state.status));
    this.status.className = `pill ${state.status}`;
    const width = (part) => `${total ? (100 * part) / total : 0}%`;
    this.bar.parts.completed.style.width = width(completed);
    this.bar.parts.failed.style.width = width(failed);
    this.bar.parts.cancelled.style.width = width(cancelled);
    const percent = Math.floor(100 * share);
    this.bar.element.setAttribute("aria-valuenow", percent);
    this.bar.element.setAttribute("aria-valuetext", `${count(done)} of ${count(total)} images, ${count(failed)} failed`);
    write(this.facts.done, `${count(completed)} of ${count(total)}`);
    write(this.facts.failed, count(failed));
    this.facts.failed.parentElement.classList.toggle("bad", failed > 0);
    this.facts.cancelled.closest(".fact").hidden = !cancelled;
    write(this.facts.cancelled, count(cancelled));
    this.pace(state, done);
    const { input, output, saved } = state.bytes;
    write(this.facts.saved, completed ? size(Math.max(saved, 0)) : "–");
    write(this.facts.share, completed ? `${saving(input, output)} · ${size(input)} → ${size(output)}` : "");
    document.title = state.done ? `${statusName(state.status)} · ${state.filename}` : `${percent} % · ${state.filename}`;
    this.buttons.cancel.hidden = state.done;
    this.buttons.retry.hidden = !state.done || failed + cancelled === 0;
    const what = !cancelled ? "failed image" : !failed ? "cancelled image" : "failed or cancelled image";
    write(this.buttons.retry.lastChild, ` Retry ${many(failed + cancelled, what)}`);
    write(this.buttons.csv.lastChild, state.done ? " Result CSV" : " Result so far");
    this.buttons.zip.hidden = !completed || !state.done;
    this.tabs(state);
    this.report(state, done, share);
    this.gallery.update(state);
  }

  pace(state, done) {
    const now = Date.now();
    this.seen.push([now, done]);
    while (this.seen.length > 2 && now - this.seen[1][0] > RATE_OVER) this.seen.shift();
    if (state.done) {
      const seconds = (Date.parse(state.finished_at) - Date.parse(state.started_at ?? state.created_at)) / 1000;
      // since the first start, so a later retry is included
      write(this.facts.left, `Took ${duration(seconds)}`);
      write(this.facts.rate, seconds > 1 && !this.retried ? `${(state.images.total / seconds).toFixed(1)} images per second` : "");
      return;
    }
    const [then, before] = this.seen[0];
    const rate = now > then ? (1000 * (done - before)) / (now - then) : 0;
    write(this.facts.left, rate ? `${duration(state.images.pending / rate)} left` : done ? "Waiting for image hosts" : "Starting");
    write(this.facts.rate, rate ? `${rate.toFixed(1)} images per second` : "");
  }

  tabs({ images: { total, failed } }) {
    write(this.filters.all, `All ${count(total)}`);
    write(this.filters.failed, `Failed ${count(failed)}`);
    this.filters.failed.disabled = failed === 0;
    if (failed === 0 && this.gallery.filter === "failed") this.filter("all");
  }

  filter(which) {
    for (const [name, button] of Object.entries(this.filters)) button.setAttribute("aria-pressed", name === which);
    this.gallery.choose(which);
  }

  report(state, done, share) {
    const tenth = state.done ? 11 : Math.floor(10 * share);
    if (tenth === this.announced) return;
    if (this.announced >= 0 || state.done) {
      const failed = state.images.failed ? `, ${count(state.images.failed)} failed` : "";
      announce(state.done ? `${statusName(state.status)}: ${many(state.images.completed, "image")} compressed${failed}.` : `${10 * tenth} percent done${failed}.`);
    }
    this.announced = tenth;
  }

  draw(state) {
    this.title = el("h1", { tabindex: "-1" }, state.filename);
    this.status = el("span", { class: "pill" });
    this.error = el("div", {});
    this.bar = progressBar();
    this.facts = Object.fromEntries(["done", "failed", "cancelled", "left", "rate", "saved", "share"].map((name) => [name, el("span", {})]));
    const fact = (name, value, under) => el("div", { class: "fact" }, el("dt", {}, name), el("dd", {}, value), under ? el("dd", { class: "quiet" }, under) : null);
    this.buttons = this.actions(state);
    this.filters = {
      all: el("button", { type: "button", "aria-pressed": "true", onclick: () => this.filter("all") }),
      failed: el("button", { type: "button", "aria-pressed": "false", onclick: () => this.filter("failed") }),
    };
    this.gallery = new Gallery(this.id, { signal: this.signal, refresh: REFRESH, onrefused: (error) => this.missing(error) });
    const { recipe } = state;
    const options = optionsText(recipe);
    this.main.replaceChildren(
      el("div", { class: "title" }, el("div", {}, this.title, el("p", { class: "quiet" }, `${many(state.products, "product")} · ${options} · uploaded `, el("time", { datetime: state.created_at, title: new Date(state.created_at).toLocaleString() }, age(state.created_at)))), this.status),
      el("section", { class: "card standing", "aria-label": "Progress" },
        this.bar.element,
        el("dl", { class: "facts" },
          fact("Compressed", this.facts.done),
          fact("Failed", this.facts.failed),
          fact("Cancelled", this.facts.cancelled),
          fact("Time", this.facts.left, this.facts.rate),
          fact("Saved", this.facts.saved, this.facts.share)),
        this.error,
        el("div", { class: "actions" }, Object.values(this.buttons))),
      el("section", { "aria-labelledby": "images-title" },
        el("div", { class: "title" }, el("h2", { id: "images-title" }, "Images"), el("div", { class: "tabs", role: "group", "aria-label": "Which images" }, Object.values(this.filters))),
        this.gallery.element),
    );
  }

  actions(state) {
    const name = state.filename.replace(/\.csv$/i, "");
    const button = (symbol, words, kind, action) => el("button", { type: "button", class: kind, onclick: (event) => this.act(event.currentTarget, action) }, icon(symbol), ` ${words}`);
    return {
      csv: button("download", "Result CSV", "primary", () => save(`result/${this.id}${this.state.done ? "" : "?partial=1"}`, `${name}-result.csv`)),
      zip: button("download", "Images (ZIP)", "", () => save(`requests/${this.id}/archive`, `${name}-images.zip`)),
      link: button("link", "Copy link", "", () => this.copy()),
      retry: button("again", "Retry", "", () => this.retry()),
      cancel: button("stop", "Cancel", "", () => this.cancel()),
      remove: button("bin", "Delete", "quieter", () => this.remove()),
    };
  }

  async act(button, action) {
    // a disabled button would lose the focus
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    this.error.replaceChildren();
    try {
      await action();
    } catch (error) {
      if (!this.signal.aborted) this.error.replaceChildren(el("p", { class: "notice bad", role: "alert" }, icon("alert"), ` ${error.message}`));
    } finally {
      button.ariaBusy = "false";
    }
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      announce("Link copied.");
      write(this.buttons.link.lastChild, " Copied");
      setTimeout(() => write(this.buttons.link.lastChild, " Copy link"), 2000);
    } catch {
      // the clipboard needs https: show the link to copy by hand
      const field = el("input", { type: "text", readonly: true, "aria-label": "Link to this request", value: location.href });
      this.error.replaceChildren(el("p", { class: "notice" }, field));
      field.select();
    }
  }

  async retry() {
    await call(`requests/${this.id}/retry`, { method: "POST", signal: this.signal });
    announce("Retrying.");
    this.title.focus({ preventScroll: true }); // the button disappears
    this.retried = true;
    this.announced = -1;
    this.seen = [];
    this.gallery.forget();
    this.follow();
  }

  async cancel() {
    const left = this.state.images.pending;
    const sure = await ask("Cancel the rest?", `${many(left, "image")} will not be compressed. Compressed images are kept, and you can retry the rest later.`, { yes: "Cancel the rest", no: "Keep compressing" });
    if (sure) await call(`requests/${this.id}/cancel`, { method: "POST", signal: this.signal });
  }

  async remove() {
    const sure = await ask(`Delete ${this.state.filename}?`, "This permanently deletes the request, its result, and all compressed images that no other request uses. Their URLs stop working.", { yes: "Delete", no: "Keep", danger: true });
    if (!sure) return;
    await call(`requests/${this.id}`, { method: "DELETE", signal: this.signal });
    announce(`${this.state.filename} deleted.`);
    location.hash = "#/requests";
  }
}

function progressBar() {
  const parts = Object.fromEntries(["completed", "failed", "cancelled"].map((name) => [name, el("span", { class: name })]));
  const element = el("div", { class: "bar", role: "progressbar", "aria-label": "Images done", "aria-valuemin": 0, "aria-valuemax": 100 }, Object.values(parts));
  return { element, parts };
}

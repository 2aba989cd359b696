// The images of a request; only the visible rows are in the page.

import { json, Problem } from "./api.js";
import { compare } from "./compare.js";
import { el, icon } from "./dom.js";
import { compressedPath, originalAddress } from "./pictures.js";
import { count, faultName, saving, size, statusName } from "./words.js";

const PAGE = 100; // images per call
const PAGES = 60; // pages in memory
const BEYOND = 4; // rows above and below the visible ones
const TALLEST = 8_000_000; // px; browsers draw nothing beyond about sixteen million
const AGAIN = 2_000; // ms until a failed page is loaded again
const SETTLED = 250; // ms that a row must be visible before its original is fetched

export class Gallery {
  /** `onrefused` is called if the request no longer exists or needs another token. */
  constructor(id, { signal, refresh, onrefused }) {
    this.id = id;
    this.signal = signal;
    this.refresh = refresh;
    this.onrefused = onrefused;
    this.filter = "all";
    this.total = 0;
    this.element = el("div", { class: "gallery", role: "list", "aria-label": "Images" });
    this.rows = new Map(); // by place in the list
    this.pages = new Map(); // by number, the latest one last
    this.asked = new Set();
    this.draw = () => this.drawing ??= requestAnimationFrame(() => { this.drawing = null; this.arrange(); });
    addEventListener("scroll", this.draw, { signal, passive: true });
    addEventListener("resize", this.draw, { signal });
    signal.addEventListener("abort", () => { clearTimeout(this.timer); this.rows.forEach((row) => row.leave()); });
  }

  /** Show a new state of the request. */
  update(state) {
    this.state = state;
    this.total = this.filter === "failed" ? state.images.failed : state.images.total;
    this.draw();
    // with the final state every image is final: read them once more
    if (state.done) this.look();
    else this.timer ??= setTimeout(() => this.look(), this.refresh);
  }

  choose(filter) {
    if (filter === this.filter) return;
    this.filter = filter;
    this.forget();
    this.update(this.state);
  }

  /** Discard everything that was read. */
  forget() {
    this.pages.clear();
    this.asked = new Set();
    this.rows.forEach((row) => row.leave());
    this.rows.clear();
    this.element.replaceChildren();
  }

  /** Read again the visible pages that may have changed. */
  look() {
    clearTimeout(this.timer);
    this.timer = null;
    const shown = new Set([...this.rows.keys()].map((place) => Math.floor(place / PAGE)));
    for (const [number, images] of this.pages) {
      if (this.filter === "failed" || images.length === 0 || images.some(({ status }) => status === "pending")) {
        if (shown.has(number)) this.read(number);
        else this.pages.delete(number);
      }
    }
    this.draw();
  }

  async read(number) {
    const { asked } = this;
    if (asked.has(number)) return;
    asked.add(number);
    const early = !this.state.done;
    try {
      const images = this.filter === "failed" ? await this.inTurn(number) : await this.page(number * PAGE - 1);
      if (asked !== this.asked) return; // the list was replaced
      this.pages.delete(number);
      this.pages.set(number, images);
      if (this.pages.size > PAGES) this.pages.delete(this.pages.keys().next().value);
      this.draw();
    } catch (error) {
      if (this.signal.aborted) return;
      if (error instanceof Problem && error.status < 500) this.onrefused(error);
      else setTimeout(this.draw, AGAIN);
    } finally {
      asked.delete(number);
      // read before the end, so possibly outdated
      if (early && this.state.done && asked === this.asked) this.look();
    }
  }

  async page(after, status = "") {
    const { data, next } = await json(`requests/${this.id}/images?limit=${PAGE}&after=${after}${status}`, { signal: this.signal });
    data.next = next;
    return data;
  }

  /** A page of a filtered list; the previous page says where it begins. */
  async inTurn(number) {
    const before = number ? this.pages.get(number - 1) ?? (await this.inTurn(number - 1)) : null;
    if (before && !before.next) return [];
    const images = await this.page(before ? before.next : -1, "&status=failed");
    this.pages.set(number, images);
    return images;
  }

  arrange() {
    if (this.signal.aborted) return;
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    const whole = height * this.total;
    const tall = Math.min(whole, TALLEST);
    this.element.style.height = `${tall}px`;
    const above = Math.min(Math.max(-this.element.getBoundingClientRect().top, 0), Math.max(tall - innerHeight, 0));
    // in a list too tall to draw, the scroll bar moves further than the list
    const offset = tall < whole ? (above / (tall - innerHeight)) * (whole - innerHeight) : above;
    const first = Math.max(Math.floor(offset / height) - BEYOND, 0);
    const last = Math.min(Math.ceil((offset + innerHeight) / height) + BEYOND, this.total);
    for (const [place, row] of this.rows) {
      const focused = row.element.contains(document.activeElement);
      if ((place < first || place >= last) && (!focused || place >= this.total)) {
        row.leave();
        row.element.remove();
        this.rows.delete(place);
      }
    }
    for (let place = first; place < last; place += 1) {
      const page = this.pages.get(Math.floor(place / PAGE));
      if (!page) this.read(Math.floor(place / PAGE));
      this.put(place, page?.[place % PAGE]);
    }
    for (const [place, row] of this.rows) {
      row.element.style.top = `${place * height - offset + above}px`;
      row.element.setAttribute("aria-setsize", this.total);
    }
  }

  put(place, image) {
    const row = this.rows.get(place);
    const known = image ? JSON.stringify(image) : "";
    if (row?.known === known || (row && !image)) return;
    const created = new Row(this.id, place, image);
    created.known = known;
    created.element.setAttribute("aria-posinset", place + 1);
    row?.leave();
    if (row) row.element.replaceWith(created.element);
    else this.insert(place, created.element);
    this.rows.set(place, created);
  }

  /** Insert a row in the order of the list, which keyboard navigation follows. */
  insert(place, element) {
    let after = null;
    for (const [other, row] of this.rows) {
      if (other > place && (after === null || other < after[0])) after = [other, row.element];
    }
    this.element.insertBefore(element, after ? after[1] : null);
  }
}

class Row {
  constructor(id, place, image) {
    this.stop = new AbortController();
    const content = image ? ROWS[image.status](this, id, place, image) : [el("div", { class: "thumbs" }), el("p", { class: "quiet" }, "…")];
    this.element = el("div", { class: `row ${image?.status ?? "unknown"}`, role: "listitem" }, content);
  }

  leave() {
    this.stop.abort();
  }
}

const ROWS = {
  completed(row, id, place, image) {
    const what = `${image.product_name}, image ${image.position}`;
    const after = el("img", { src: compressedPath(image), alt: "", loading: "lazy", decoding: "async" });
    const before = el("span", { class: "thumb before" });
    // not while scrolling fast: each original is a download from the shop's host
    const timer = setTimeout(() => original(before, id, place, row.stop.signal), SETTLED);
    row.stop.signal.addEventListener("abort", () => clearTimeout(timer));
    const open = () => compare({ id, place, image, what });
    return [
      el("button", { type: "button", class: "thumbs", "aria-label": `Compare before and after: ${what}`, onclick: open },
        before, el("span", { class: "thumb" }, after)),
      about(image),
      el("p", { class: "sizes" },
        el("span", { class: "quiet" }, size(image.input_bytes)), el("span", { "aria-hidden": "true" }, " → "), el("span", { class: "unseen" }, " to "), el("strong", {}, size(image.output_bytes)),
        el("span", { class: "saving" }, saving(image.input_bytes, image.output_bytes))),
    ];
  },
  failed(row, id, place, image) {
    return [
      el("div", { class: "thumbs" }, el("span", { class: "thumb none" }, icon("alert"))),
      about(image),
      el("div", { class: "reason" }, el("strong", { class: "bad" }, faultName(image.error)), el("p", { title: image.error.message }, image.error.message)),
    ];
  },
  pending(row, id, place, image) {
    return [el("div", { class: "thumbs" }, el("span", { class: "thumb waiting" })), about(image), el("p", { class: "sizes quiet" }, "Waiting")];
  },
  cancelled(row, id, place, image) {
    return [el("div", { class: "thumbs" }, el("span", { class: "thumb none" })), about(image), el("p", { class: "sizes quiet" }, statusName("cancelled"))];
  },
};

function about(image) {
  const facts = [image.serial && `No. ${image.serial}`, `image ${count(image.position)}`, image.width && `${image.width} × ${image.height}`, image.format?.toUpperCase()];
  return el("div", { class: "about" },
    el("h3", { title: image.product_name }, image.product_name),
    el("p", { class: "quiet" }, facts.filter(Boolean).join(" · ")),
    el("p", { class: "address quiet", title: image.input_url }, image.input_url));
}

/** Show the original from its host, or that it is not available. */
async function original(box, id, place, signal) {
  const image = el("img", { alt: "", decoding: "async" });
  // after scrolling on, other rows need the connection
  signal.addEventListener("abort", () => image.removeAttribute("src"), { once: true });
  try {
    image.src = await originalAddress(id, place, signal);
    await image.decode();
    if (!signal.aborted) box.replaceChildren(image);
  } catch {
    if (signal.aborted) return;
    box.classList.add("none");
    box.replaceChildren(el("span", { class: "unseen" }, "The original is not available."), icon("picture"));
  }
}

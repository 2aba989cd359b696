// The first view: choose a CSV, check it, set options, and send it.

import { newKey, Problem, Unreachable, upload } from "./api.js";
import { readCatalog } from "./catalog.js";
import { announce, choice, el, icon, write } from "./dom.js";
import { Shape } from "./shape.js";
import { many, size } from "./words.js";

const FORMATS = [
  ["keep", "Keep each image's format"],
  ["jpeg", "JPEG"],
  ["png", "PNG"],
  ["webp", "WebP"],
  ["avif", "AVIF"],
];

const EFFORTS = [
  ["fast", "Fast: larger files in less time"],
  ["balanced", "Balanced"],
  ["small", "Small: smaller files in more time"],
];

/** Lowest quality of each range, and its effect. */
const QUALITIES = [
  [90, "Slightly smaller files, for print and zoom."],
  [75, "About half the size, as most shops use."],
  [60, "About a third of the size; no visible difference on a screen."],
  [40, "About a quarter of the size; no visible difference at normal viewing size."],
  [20, "Very small files; edges and flat areas begin to show artefacts."],
  [1, "The smallest files, for previews."],
];

export function showStart({ main, settings, signal }) {
  const form = el("div", { class: "start" });
  main.append(
    el("h1", {}, "Compress a whole catalogue"),
    el("p", { class: "lead" }, "Upload a CSV with the URLs of your product images. You get the CSV back with the URLs of the compressed images."),
    form,
  );
  const view = new Start(form, settings, signal);
  view.choose();
  document.addEventListener("dragover", view.over, { signal });
  document.addEventListener("dragleave", view.out, { signal });
  document.addEventListener("drop", view.drop, { signal });
}

class Start {
  constructor(form, settings, signal) {
    this.form = form;
    this.settings = settings;
    this.signal = signal;
    this.over = () => document.body.classList.add("dropping");
    this.out = (event) => event.relatedTarget || document.body.classList.remove("dropping");
    this.drop = (event) => {
      document.body.classList.remove("dropping");
      if (event.dataTransfer?.files.length) this.read(event.dataTransfer.files[0]);
    };
  }

  choose() {
    this.form.replaceChildren(
      el("section", { class: "card drop", "aria-labelledby": "drop-title" },
        icon("upload"),
        el("h2", { id: "drop-title" }, "Drop your CSV anywhere on this page"),
        el("p", {}, "or"),
        this.chooser("Choose a file", "primary"),
        el("p", { class: "quiet" }, "Columns ", el("code", {}, "S. No."), ", ", el("code", {}, "Product Name"), " and ", el("code", {}, "Input Image Urls"), ` · up to ${size(this.settings.max_upload_size)}`),
        el("p", {}, el("a", { href: "page/sample.csv", download: "sample.csv" }, "Download a sample CSV"))),
      el("ol", { class: "steps", "aria-label": "Steps" },
        el("li", {}, el("strong", {}, "Check"), " Your browser reads the file; nothing is sent yet."),
        el("li", {}, el("strong", {}, "Watch"), " Images appear as they are compressed, before and after side by side."),
        el("li", {}, el("strong", {}, "Download"), " Get the result as a CSV, or all images in a ZIP.")),
    );
  }

  chooser(words, kind = "") {
    const field = el("input", { type: "file", accept: ".csv,.tsv,.txt,text/csv", class: "unseen", id: "file", onchange: () => field.files.length && this.read(field.files[0]) });
    return el("span", { class: "chooser" }, field, el("label", { for: "file", class: `button ${kind}` }, words));
  }

  async read(file) {
    if (this.sending) return;
    this.file = file;
    this.post = null;
    this.form.replaceChildren(el("section", { class: "card busy", role: "status" }, el("p", {}, `Reading ${file.name} …`)));
    const limit = this.settings.max_upload_size;
    let catalog;
    try {
      catalog = await readCatalog(file);
    } catch (error) {
      catalog = { columns: [], rows: [], products: 0, images: 0, problems: [{ line: 1, column: 1, message: `Cannot read the file: ${error.message}` }] };
    }
    if (this.signal.aborted || this.file !== file) return;
    if (file.size > limit) catalog.problems = [{ line: 1, column: 1, message: `The file has ${size(file.size)}, and the limit is ${size(limit)}. Split it into several files.` }];
    this.show(catalog);
  }

  show(catalog) {
    const { products, images, problems } = catalog;
    const fine = problems.length === 0;
    const summary = fine ? `${many(products, "product")}, ${many(images, "image")}` : `${many(problems.length, "problem")}: the file cannot be sent yet`;
    this.problems = el("div", {});
    const heading = el("h2", { tabindex: "-1" }, this.file.name);
    this.form.replaceChildren(
      el("section", { class: "card", "aria-label": "The chosen file" },
        el("div", { class: "file" },
          el("div", {}, heading, el("p", { class: fine ? "quiet" : "bad" }, `${size(this.file.size)} · ${summary}`)),
          this.chooser("Choose another")),
        this.problems,
        catalog.rows.length ? preview(catalog) : null),
      fine ? this.options(images) : "",
    );
    this.list(problems, "Fix these problems, save the file, and choose it again:");
    heading.focus();
    announce(`${this.file.name}: ${summary}`);
  }

  list(problems, words) {
    this.problems.replaceChildren(problems.length ? problemList(problems, words) : "");
  }

  options(images) {
    const { settings } = this;
    const quality = el("input", { type: "range", id: "quality", min: 1, max: 100, value: settings.quality, "aria-describedby": "quality-means" });
    const shown = el("output", { for: "quality" });
    const means = el("p", { class: "quiet", id: "quality-means" });
    const update = () => {
      write(shown, quality.value);
      const words = QUALITIES.find(([from]) => Number(quality.value) >= from)[1];
      write(means, Number(quality.value) === settings.quality ? `${words} This is the server's default.` : words);
      quality.setAttribute("aria-valuetext", `${quality.value}: ${words}`);
    };
    quality.addEventListener("input", update);
    update();
    const format = choice("format", FORMATS, settings.format);
    const effort = choice("effort", EFFORTS, settings.effort);
    const shape = new Shape(settings, format);
    const webhook = el("input", { type: "url", id: "webhook", placeholder: "https://…", autocomplete: "url", "aria-describedby": "webhook-means" });
    const button = el("button", { class: "primary large" }, `Compress ${many(images, "image")}`);
    const progress = el("div", { class: "sending" });
    const form = el("form", { class: "card options", "aria-label": "Options", onsubmit: (event) => {
      event.preventDefault();
      const chosen = { quality: quality.value, format: format.value, effort: effort.value, ...shape.options() };
      if (webhook.value.trim()) chosen.webhook_url = webhook.value.trim();
      this.send(chosen, button, progress);
    } },
    el("h2", {}, "Options"),
    el("div", { class: "fields" },
      el("div", { class: "field wide" }, el("div", { class: "ends" }, el("label", { for: "quality" }, "Quality"), shown), quality, means),
      el("div", { class: "field" }, el("label", { for: "format" }, "Format"), format),
      el("div", { class: "field" }, el("label", { for: "effort" }, "Effort"), effort),
      ...shape.fields,
      el("div", { class: "field wide" }, el("label", { for: "webhook" }, "Webhook (optional)"), webhook, el("p", { class: "quiet", id: "webhook-means" }, "The URL to notify when the request ends."))),
    el("p", { class: "quiet" }, "No image is enlarged. An image that keeps its format and dimensions never gets more bytes."),
    el("div", { class: "actions" }, button, progress));
    return form;
  }

  async send(options, button, place) {
    const stop = new AbortController();
    const bar = el("progress", { max: 1, value: 0, "aria-label": "Upload" });
    const words = el("span", {}, "Sending …");
    place.replaceChildren(bar, words, el("button", { type: "button", class: "plain", onclick: () => stop.abort() }, "Stop"));
    this.sending = button.disabled = true;
    const text = JSON.stringify(options);
    if (this.post?.text !== text) this.post = { text, key: newKey() };
    this.list([]);
    const onprogress = (share) => {
      bar.value = share;
      write(words, share < 1 ? `${Math.round(100 * share)} % sent` : "Sent. The service is checking the file …");
    };
    try {
      const { request_id: id } = await upload(this.file, options, this.post.key, { onprogress, signal: AbortSignal.any([this.signal, stop.signal]) });
      location.hash = `#/requests/${id}`;
    } catch (error) {
      if (this.signal.aborted) return;
      place.replaceChildren();
      if (!stop.signal.aborted) this.fail(error);
    } finally {
      this.sending = button.disabled = false;
    }
  }

  fail(error) {
    if (error instanceof Problem && error.errors.length) this.list(error.errors, "The service refused the file. Fix these problems, save the file, and choose it again:");
    else {
      const words = error instanceof Unreachable ? `${error.message} Press the button again: the file is accepted only once.` : `The service refused the upload: ${error.message}`;
      this.problems.replaceChildren(el("p", { class: "notice bad", role: "alert" }, icon("alert"), ` ${words}`));
    }
    this.problems.scrollIntoView({ block: "center" });
  }
}

function problemList(problems, words) {
  return el("div", { class: "notice bad", role: "alert" },
    el("p", {}, icon("alert"), ` ${words}`),
    el("ul", {}, problems.map(({ line, column, message }) => el("li", {}, el("strong", {}, `Line ${line}, column ${column}:`), ` ${message}`))));
}

function preview({ rows, products }) {
  const more = products - rows.length;
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "The first products" },
    el("table", { class: "preview" },
      el("thead", {}, el("tr", {}, ["Line", "S. No.", "Product", "Images"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map(({ line, serial, name, urls }) => el("tr", {},
        el("td", { class: "number" }, String(line)),
        el("td", {}, serial),
        el("td", {}, name || el("span", { class: "bad" }, "no name")),
        el("td", {}, urls.length ? urls.slice(0, 3).map((url) => el("div", { class: "address", title: url }, url)) : el("span", { class: "quiet" }, "none"), urls.length > 3 ? el("div", { class: "quiet" }, `and ${urls.length - 3} more`) : null))))),
    more > 0 ? el("p", { class: "quiet" }, `and ${many(more, "more product")}`) : null);
}

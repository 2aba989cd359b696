// The fields for size, fit and background; some apply only with certain values of others.

import { choice, el, write } from "./dom.js";

const FITS = [
  ["inside", "Fit within the limits"],
  ["cover", "Fill the box and crop the rest"],
  ["pad", "Fit within the box and pad it"],
];

const GROUNDS = [
  ["white", "White"],
  ["none", "Transparent"],
  ["colour", "A colour"],
];

export class Shape {
  /** `format` is the format field: transparent images that become JPEG need a background. */
  constructor(settings, format) {
    this.settings = settings;
    this.format = format;
    const coloured = settings.background.startsWith("#");
    this.width = limit("width", settings.max_width);
    this.height = limit("height", settings.max_height);
    this.fit = choice("fit", FITS, settings.fit);
    this.ground = choice("background", GROUNDS, coloured ? "colour" : settings.background);
    this.colour = el("input", { type: "color", id: "colour", "aria-label": "Background colour", value: coloured ? settings.background : "#f4f4f4" });
    this.means = el("p", { class: "quiet", id: "background-means" });
    this.ground.setAttribute("aria-describedby", this.means.id);
    this.place = field("background", "Background", el("span", { class: "unit" }, this.ground, this.colour), this.means);
    this.fields = [
      field("width", "Largest width", el("span", { class: "unit" }, this.width, " px")),
      field("height", "Largest height", el("span", { class: "unit" }, this.height, " px")),
      field("fit", "Fit", this.fit),
      this.place,
    ];
    this.fields[0].classList.add("first");
    for (const each of [format, this.fit, this.ground]) each.addEventListener("change", () => this.show());
    this.show();
  }

  /** Show the fields that apply to the current choices. */
  show() {
    const filled = this.fit.value !== "inside";
    for (const each of [this.width, this.height]) {
      each.required = filled;
      each.placeholder = filled ? "required" : "no limit";
    }
    const padded = this.fit.value === "pad", jpeg = this.format.value === "jpeg";
    this.place.hidden = !padded && !jpeg;
    this.colour.hidden = this.ground.value !== "colour";
    const around = jpeg ? "Around images and behind transparent parts." : "Around images.";
    const where = padded ? around : "Behind transparent parts.";
    const clear = jpeg ? "White, because JPEG has no transparency." : "White if the format has no transparency.";
    write(this.means, this.ground.value === "none" ? clear : where);
  }

  /** Return the options to send. */
  options() {
    const { settings } = this;
    const options = { fit: this.fit.value };
    // 0 is no limit, whatever the server's default
    if (this.width.value || settings.max_width) options.max_width = this.width.value || "0";
    if (this.height.value || settings.max_height) options.max_height = this.height.value || "0";
    if (!this.place.hidden) options.background = this.ground.value === "colour" ? this.colour.value : this.ground.value;
    return options;
  }
}

function limit(id, value) {
  return el("input", { type: "number", id, min: 1, max: 65535, step: 1, value: value || null, inputmode: "numeric" });
}

function field(id, name, ...parts) {
  return el("div", { class: "field" }, el("label", { for: id }, name), ...parts);
}

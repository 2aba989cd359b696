// How large images become, and what fills the rest: the fields of it, of which some matter only beside others.

import { choice, el, write } from "./dom.js";

const FITS = [
  ["inside", "Fit inside the limits"],
  ["cover", "Fill the box, crop the rest"],
  ["pad", "Fit inside, fill up the box"],
];

const GROUNDS = [
  ["white", "White"],
  ["none", "Transparent"],
  ["colour", "A colour"],
];

export class Shape {
  /** `format` is the field of the format: transparency that becomes JPEG needs a background. */
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

  /** Show what matters with what is chosen now. */
  show() {
    const filled = this.fit.value !== "inside";
    for (const each of [this.width, this.height]) {
      each.required = filled;
      each.placeholder = filled ? "needed" : "no limit";
    }
    const padded = this.fit.value === "pad", jpeg = this.format.value === "jpeg";
    this.place.hidden = !padded && !jpeg;
    this.colour.hidden = this.ground.value !== "colour";
    const around = jpeg ? "Around images, and behind what is transparent." : "Around images.";
    const where = padded ? around : "Behind what is transparent.";
    const clear = jpeg ? "White: a JPEG has no transparency." : "White where a format has no transparency.";
    write(this.means, this.ground.value === "none" ? clear : where);
  }

  /** What is sent. */
  given() {
    const { settings } = this;
    const given = { fit: this.fit.value };
    // 0 is the service's word for no limit, whatever its own setting
    if (this.width.value || settings.max_width) given.max_width = this.width.value || "0";
    if (this.height.value || settings.max_height) given.max_height = this.height.value || "0";
    if (!this.place.hidden) given.background = this.ground.value === "colour" ? this.colour.value : this.ground.value;
    return given;
  }
}

function limit(id, value) {
  return el("input", { type: "number", id, min: 1, max: 65535, step: 1, value: value || null, inputmode: "numeric" });
}

function field(id, name, ...parts) {
  return el("div", { class: "field" }, el("label", { for: id }, name), ...parts);
}

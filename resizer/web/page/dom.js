// Create elements, and announce texts to screen readers.

const SVG = "http://www.w3.org/2000/svg";

/** Create an element. Functions such as `onclick` become listeners; null and false omit an attribute. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  download: "M12 4v12m0 0 5-5m-5 5-5-5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1m2 4a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  again: "M4 12a8 8 0 0 1 14-5l2 2m0-5v5h-5m5 3a8 8 0 0 1-14 5l-2-2m0 5v-5h5",
  stop: "M7 7h10v10H7z",
  bin: "M5 7h14M10 7V4h4v3m-7 0 1 13h8l1-13",
  close: "M6 6l12 12M18 6 6 18",
  alert: "M12 8v5m0 3v.5M10.300 4.200 2.700 18a2 2 0 0 0 1.700 3h15.200a2 2 0 0 0 1.700-3L13.700 4.200a2 2 0 0 0-3.400 0z",
  picture: "M4 5h16v14H4zm0 11 5-5 4 4 3-2 4 4M15 9.500v.1",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
};

/** Create an icon, which is hidden from screen readers: its meaning needs a text beside it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Have screen readers read a text aloud. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

/** Set a text if it differs, so that screen readers do not repeat it. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Create a selection field from values and their names. */
export function choice(id, options, chosen) {
  return el("select", { id }, options.map(([value, name]) => el("option", { value, selected: value === chosen }, name)));
}

/** Ask a question in a dialog; resolves to whether the answer is yes. */
export function ask(title, text, { yes, no, danger = false }) {
  return new Promise((resolve) => {
    const dialog = el(
      "dialog",
      { class: "ask", "aria-labelledby": "ask-title", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      el("h2", { id: "ask-title" }, title),
      el("p", {}, text),
      el("div", { class: "actions end" },
        el("button", { type: "button", onclick: () => dialog.close("no") }, no),
        el("button", { type: "button", class: danger ? "danger" : "primary", onclick: () => dialog.close("yes") }, yes)),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Format numbers, statuses and errors for people.

const WHOLE = new Intl.NumberFormat("en");
const UNITS = ["B", "kB", "MB", "GB", "TB"];

export const count = (number) => WHOLE.format(number);

/** `count(1, "image")` is "1 image". */
export const many = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** Bytes in units of a thousand, with two or three figures. */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const shown = unit && value < 9.95 ? value.toFixed(1) : String(Math.round(value));
  return `${shown}\u00a0${UNITS[unit]}`;
}

/** The difference in size: "−75 %". */
export function saving(input, output) {
  if (!input) return "";
  const percent = Math.round((100 * (input - output)) / input);
  return percent > 0 ? `−${percent}\u00a0%` : percent < 0 ? `+${-percent}\u00a0%` : "same size";
}

/** Seconds as "4 s", "3 min", "2 h 5 min". */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

export function age(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

const STATUS = {
  pending: "Waiting",
  processing: "In progress",
  completed: "Completed",
  partial: "Partly failed",
  failed: "Failed",
  cancelled: "Cancelled",
};
export const statusName = (status) => STATUS[status] ?? status;

const FAULTS = {
  invalid_url: "Not a valid URL",
  blocked_address: "Address not allowed",
  dns: "Host not found",
  connect: "Host did not answer",
  tls: "Invalid certificate",
  timeout: "Took too long",
  too_many_redirects: "Too many redirects",
  too_large: "File too large",
  not_an_image: "Not an image",
  unsupported_format: "Format not supported",
  corrupt_image: "Damaged image",
  too_many_pixels: "Too many pixels",
  compress_timeout: "Compressing took too long",
  compress_crash: "Could not be compressed",
  storage: "Could not be stored",
};

/** The cause of a failure in a few words; the error's message has the details. */
export function faultName(error) {
  if (error.code !== "http_status") return FAULTS[error.code] ?? error.code;
  const known = { 401: "Host requires a login", 403: "Refused by the host", 404: "Not found at the host", 410: "Removed from the host" };
  return `${known[error.http_status] ?? "Error from the host"} (${error.http_status})`;
}

/** The options of a request in one line. */
export function optionsText({ quality, format, effort, max_width: width, max_height: height, fit, background }) {
  const colour = background === "none" ? "transparent" : background ?? "white";
  const filled = fit !== "inside";
  return [
    `quality ${quality}`,
    format === "keep" ? "format kept" : format.toUpperCase(),
    effort !== "balanced" && `effort ${effort}`,
    filled && `${fit === "cover" ? "cropped" : "padded"} to ${width} × ${height} px`,
    !filled && width && `at most ${width} px wide`,
    !filled && height && `at most ${height} px high`,
    (fit === "pad" || (format === "jpeg" && background)) && `background ${colour}`,
  ].filter(Boolean).join(" · ");
}

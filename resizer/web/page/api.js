// Call the service with its token; its problems become errors.

import { askToken, token } from "./token.js";

/** An error response of the service; `errors` lists the problems of a CSV by line and column. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The service responded with status ${status}.`);
    this.status = status;
    this.errors = body.errors ?? [];
  }

  static async of(response) {
    const text = await response.text().catch(() => "");
    return new Problem(response.status, parsed(text));
  }
}

/** The service could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super("Cannot reach the service. It may be restarting, or the connection is lost.");
  }
}

export function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

export const bearer = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** Fetch a path of the service. Throws `Problem`, `Unreachable`, or the signal's reason. */
export async function call(path, { method = "GET", headers = {}, signal } = {}) {
  for (;;) {
    const used = token();
    let response;
    try {
      response = await fetch(path, { method, signal, headers: { ...headers, ...bearer() } });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable();
    }
    if (response.ok) return response;
    const problem = await Problem.of(response);
    if (response.status !== 401 || !(await askToken(used))) throw problem;
  }
}

export const json = async (path, options) => (await call(path, options)).json();

/** Return an Idempotency-Key: an upload sent twice with it becomes one request. */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Send a CSV; calls `onprogress` with the share sent, 0 to 1. Throws as `call` does. */
export async function upload(file, options, key, { onprogress, signal }) {
  for (;;) {
    signal.throwIfAborted();
    const used = token();
    const form = new FormData();
    for (const [name, value] of Object.entries(options)) form.append(name, value);
    form.append("file", file);
    const { status, body } = await send(form, key, onprogress, signal);
    if (status === 202) return body;
    const problem = new Problem(status, body);
    if (status !== 401 || !(await askToken(used))) throw problem;
  }
}

function send(form, key, onprogress, signal) {
  // fetch does not report the progress of an upload
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "upload");
    request.setRequestHeader("Idempotency-Key", key);
    for (const [name, value] of Object.entries(bearer())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onprogress(event.loaded / event.total);
    request.onload = () => resolve({ status: request.status, body: parsed(request.responseText) });
    request.onerror = () => reject(new Unreachable());
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/** Save the response of a path as a file; without a token a link is enough. */
export async function save(path, name) {
  if (!token()) {
    saveFrom(path, name);
    return;
  }
  const address = URL.createObjectURL(await (await call(path)).blob());
  saveFrom(address, name);
  // by then the browser has its own copy of the data
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function saveFrom(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

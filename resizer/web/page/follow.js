// Follow a request to its end by server-sent events, or by polling if those are blocked.

import { call, json, Problem } from "./api.js";

const SILENT = 20_000; // ms; the service sends a comment every 15 s, which a buffering proxy withholds
const POLL = 2_000; // ms
const SOON = 500; // ms after an interrupted stream
const LONGEST_PAUSE = 10_000; // ms between attempts while the service is unreachable

/**
 * Call `onstate` with each status until the final one, and `onlost` with whether the connection is lost.
 * Throws `Problem` if there is no such request, and the signal's reason if it is aborted.
 */
export async function follow(id, { onstate, onlost, signal }) {
  let silent = 0; // streams without events while the service was reachable
  let away = 0; // attempts in a row that failed
  for (;;) {
    try {
      let state = silent < 2 ? await stream(id, onstate, signal) : null;
      if (state) {
        silent = 0;
      } else {
        state = await json(`status/${id}`, { signal });
        onstate(state);
        silent += 1;
      }
      away = 0;
      onlost(false);
      if (state.done) return;
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.status < 500)) throw error;
      away += 1;
      onlost(true);
    }
    await pause(away ? Math.min(500 * 2 ** away, LONGEST_PAUSE) : silent ? POLL : SOON, signal);
  }
}

/** Read a stream until its end; returns the last state or null. Throws as `call` does, except `Unreachable`. */
async function stream(id, onstate, signal) {
  const quiet = new AbortController();
  let timer = 0;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => quiet.abort(), SILENT);
  };
  let last = null;
  try {
    listen();
    const both = AbortSignal.any([signal, quiet.signal]);
    const response = await call(`requests/${id}/events`, { signal: both, headers: { Accept: "text/event-stream" } });
    for await (const data of messages(response.body)) {
      listen();
      if (data) {
        last = JSON.parse(data);
        onstate(last);
        if (last.done) return last;
      }
    }
  } catch (error) {
    // interrupted, silent or blocked: the states received count
    if (signal.aborted || error instanceof Problem) throw error;
  } finally {
    clearTimeout(timer);
  }
  return last;
}

/** Yield the data of each event, and "" for each comment (HTML standard, 9.2.6). */
async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (text + value).split(/\r\n|\n|\r(?!$)/);
      text = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        else if (line.startsWith(":")) yield "";
        else if (!line && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const left = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", left);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", left, { once: true });
  });
}

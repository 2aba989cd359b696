// URLs of an image and of its original, both on this service.

import { bearer } from "./api.js";
import { token } from "./token.js";

/** Return the path of a compressed image on this service, whose `output_url` may name another host. */
export const compressedPath = (image) => `compressed/${image.output_url.split("/").at(-1)}`;

/** Return a URL for showing the original; throws if there is none. */
export async function originalAddress(id, place, signal) {
  const path = `requests/${id}/images/${place}/original`;
  if (!token()) return path;
  const response = await fetch(path, { headers: bearer(), signal });
  if (!response.ok) throw new Error(`The service returned status ${response.status}.`);
  const address = URL.createObjectURL(await response.blob());
  signal.addEventListener("abort", () => URL.revokeObjectURL(address), { once: true });
  return address;
}

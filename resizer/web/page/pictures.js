// The paths of both versions of an image on this service.

import { bearer } from "./api.js";
import { token } from "./token.js";

/** Return the path of a compressed image on this service, which may differ from its public URL. */
export const compressedPath = (image) => `compressed/${image.output_url.split("/").at(-1)}`;

/** Return a URL of the original that the page can show; throws if there is none. */
export async function originalAddress(id, place, signal) {
  const path = `requests/${id}/images/${place}/original`;
  if (!token()) return path;
  const response = await fetch(path, { headers: bearer(), signal });
  if (!response.ok) throw new Error(`the service responded with status ${response.status}`);
  const address = URL.createObjectURL(await response.blob());
  signal.addEventListener("abort", () => URL.revokeObjectURL(address), { once: true });
  return address;
}

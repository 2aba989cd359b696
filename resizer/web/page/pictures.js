// Where the page finds the two versions of an image: both on this service.

import { bearer } from "./api.js";
import { token } from "./token.js";

/** The path at which this service has a compressed image, whatever address is handed out for it. */
export const compressedPath = (image) => `compressed/${image.output_url.split("/").at(-1)}`;

/** An address under which the page can show the original; throws where there is none. */
export async function originalAddress(id, place, signal) {
  const path = `requests/${id}/images/${place}/original`;
  if (!token()) return path;
  const response = await fetch(path, { headers: bearer(), signal });
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  const address = URL.createObjectURL(await response.blob());
  signal.addEventListener("abort", () => URL.revokeObjectURL(address), { once: true });
  return address;
}

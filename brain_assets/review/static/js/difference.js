// Where two pictures differ: the second laid over the first, channel by channel, amplified so that little shows.

import { h } from "/static/js/dom.js";

const MOST_PIXELS = 2_000_000;
const AMPLIFIED = 4;
/** What lossy encodings differ by without anybody's doing. */
const NOTICED = 8;

/** A canvas with the difference of two pictures that have come, and how much it is in words. */
export function difference(one, other) {
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (one.naturalWidth * one.naturalHeight)));
  const width = Math.max(1, Math.round(one.naturalWidth * shrink));
  const height = Math.max(1, Math.round(one.naturalHeight * shrink));
  const [a, b] = [one, other].map((image) => pixels(image, width, height));
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d");
  const shown = context.createImageData(width, height);
  let [sum, noticed] = [0, 0];
  for (let i = 0; i < a.length; i += 4) {
    let most = 0;
    for (let channel = i; channel < i + 3; channel++) {
      const apart = Math.abs(a[channel] - b[channel]);
      shown.data[channel] = Math.min(255, apart * AMPLIFIED);
      sum += apart;
      if (apart > most) most = apart;
    }
    shown.data[i + 3] = 255;
    if (most > NOTICED) noticed++;
  }
  context.putImageData(shown, 0, 0);
  const share = (100 * noticed) / (width * height);
  const mean = sum / (3 * width * height);
  return { canvas, words: `${share.toFixed(share < 10 ? 1 : 0)} % of pixels differ, by ${mean.toFixed(1)} of 255 in the mean` };
}

function pixels(image, width, height) {
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

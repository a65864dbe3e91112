// Points drawn pixel by pixel, where there is no graphics card.

import { SHAPED, SHAPES } from "/static/js/palette.js";

export class CanvasRenderer {
  constructor(canvas) {
    Object.assign(this, { canvas, context: canvas.getContext("2d"), count: 0 });
  }

  upload(name, array) {
    this[name] = array;
    if (name === "place") this.count = array.length / 2;
  }

  colours(bytes) {
    this.palette = bytes;
  }

  draw({ scale, centre, width, height, ratio, sizes, opacity, ghost, rest, limit }) {
    const image = this.context.createImageData(width * ratio, height * ratio);
    const view = { image: image.data, wide: image.width, high: image.height, scale: scale * ratio, centre };
    const layers = [
      { state: 1, from: 0, to: 255 },
      { state: 2, from: rest, to: 255 },
      { state: 2, from: 0, to: rest - 1 },
      { state: 3, from: 0, to: 255 },
    ];
    for (const layer of layers)
      this.paint(
        view,
        layer,
        opacity[layer.state - 1],
        sizes.map((size) => size * ratio * (layer.state > 1 ? 1 : 0.7)),
        ghost,
        Math.min(limit, this.count),
      );
    this.context.putImageData(image, 0, 0);
  }

  /** Paints the points of one state and range of slots in their shapes, each mixed into what lies under it. */
  paint({ image, wide, high, scale, centre }, { state, from, to }, opacity, [smallest, largest], ghost, limit) {
    const { place, slot, size, palette } = this;
    for (let i = 0; i < limit; i++) {
      if (this.state[i] !== state || slot[i] < from || slot[i] > to) continue;
      const shape = state === 1 ? 0 : palette[slot[i] * 4 + 3];
      const wanted = smallest + ((largest - smallest) * size[i]) / 255;
      const side = Math.max(1, Math.round(shape ? wanted * SHAPED : wanted));
      const left = Math.round((place[2 * i] - centre[0]) * scale + wide / 2 - side / 2);
      const top = Math.round((centre[1] - place[2 * i + 1]) * scale + high / 2 - side / 2);
      if (!(left >= 0 && top >= 0 && left + side <= wide && top + side <= high)) continue;
      const insets = insetsOf(side, shape);
      const colour = slot[i] * 4;
      const red = state === 1 ? ghost[0] : palette[colour];
      const green = state === 1 ? ghost[1] : palette[colour + 1];
      const blue = state === 1 ? ghost[2] : palette[colour + 2];
      for (let row = 0; row < side; row++) {
        const start = (top + row) * wide + left;
        const last = (start + side - insets[row]) * 4;
        for (let at = (start + insets[row]) * 4; at < last; at += 4) {
          const whole = opacity + (image[at + 3] / 255) * (1 - opacity);
          const part = opacity / whole;
          image[at] += (red - image[at]) * part;
          image[at + 1] += (green - image[at + 1]) * part;
          image[at + 2] += (blue - image[at + 2]) * part;
          image[at + 3] = whole * 255;
        }
      }
    }
  }
}

const INSETS = SHAPES.map(() => []);

/** How far the sides of each shape are in at a share of its height, as shares of its width. */
const SIDES = [
  (at) => 0.5 - Math.sqrt(Math.max(0, 0.25 - (at - 0.5) ** 2)),
  () => 0.08,
  (at) => 0.5 - at / 2,
  (at) => Math.abs(at - 0.5),
  (at) => at / 2,
  (at) => (Math.abs(at - 0.5) <= 0.17 ? 0 : 0.33),
];

/** How many pixels of each row of a square lie outside a shape in it, on either side. */
function insetsOf(side, shape) {
  INSETS[shape][side] ??= Uint8Array.from({ length: side }, (_, row) =>
    Math.min(Math.floor((side - 1) / 2), Math.round(SIDES[shape]((row + 0.5) / side) * side)),
  );
  return INSETS[shape][side];
}

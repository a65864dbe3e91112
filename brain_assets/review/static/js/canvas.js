// Points drawn pixel by pixel, where there is no graphics card.

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
    for (const layer of layers) this.paint(view, layer, opacity[layer.state - 1], sizes.map((size) => size * ratio * (layer.state > 1 ? 1 : 0.7)), ghost, Math.min(limit, this.count));
    this.context.putImageData(image, 0, 0);
  }

  /** Paints the points of one state and range of slots as squares, each mixed into what lies under it. */
  paint({ image, wide, high, scale, centre }, { state, from, to }, opacity, [smallest, largest], ghost, limit) {
    const { place, slot, size, palette } = this;
    for (let i = 0; i < limit; i++) {
      if (this.state[i] !== state || slot[i] < from || slot[i] > to) continue;
      const side = Math.max(1, Math.round(smallest + ((largest - smallest) * size[i]) / 255));
      const left = Math.round((place[2 * i] - centre[0]) * scale + wide / 2 - side / 2);
      const top = Math.round((centre[1] - place[2 * i + 1]) * scale + high / 2 - side / 2);
      if (!(left >= 0 && top >= 0 && left + side <= wide && top + side <= high)) continue;
      const colour = slot[i] * 4;
      const [red, green, blue] = state === 1 ? ghost : [palette[colour], palette[colour + 1], palette[colour + 2]];
      for (let y = top; y < top + side; y++) {
        for (let at = (y * wide + left) * 4; at < (y * wide + left + side) * 4; at += 4) {
          const under = image[at + 3] / 255;
          const whole = opacity + under * (1 - opacity);
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

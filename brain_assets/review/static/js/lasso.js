// Which points lie inside a polygon, exactly and in time for a million of them.

const BANDS = 512;

/**
 * Marks the points inside a polygon (even-odd rule).
 *
 * Edges are sorted into horizontal bands first, so that each point meets only the few edges at its height.
 */
export function inside(polygon, x, y) {
  const found = new Uint8Array(x.length);
  if (polygon.length < 3) return found;
  const bounds = boundsOf(polygon);
  const bands = bandsOf(polygon, bounds);
  const scale = BANDS / (bounds.bottom - bounds.top || 1);
  for (let i = 0; i < x.length; i++) {
    if (!(x[i] >= bounds.left && x[i] <= bounds.right && y[i] >= bounds.top && y[i] <= bounds.bottom)) continue;
    const band = bands[Math.min(BANDS - 1, Math.floor((y[i] - bounds.top) * scale))];
    found[i] = crossings(band, x[i], y[i]) & 1;
  }
  return found;
}

/** How many edges lie to the right of a point. */
function crossings(edges, x, y) {
  let count = 0;
  for (let e = 0; e < edges.length; e += 4) {
    const ay = edges[e + 1];
    const by = edges[e + 3];
    if (ay > y !== by > y && x < ((edges[e + 2] - edges[e]) * (y - ay)) / (by - ay) + edges[e]) count++;
  }
  return count;
}

function boundsOf(polygon) {
  const [xs, ys] = [polygon.map(([x]) => x), polygon.map(([, y]) => y)];
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

function bandsOf(polygon, { top, bottom }) {
  const bands = Array.from({ length: BANDS }, () => []);
  const scale = BANDS / (bottom - top || 1);
  const at = (y) => Math.min(BANDS - 1, Math.max(0, Math.floor((y - top) * scale)));
  polygon.forEach(([ax, ay], index) => {
    const [bx, by] = polygon[(index + 1) % polygon.length];
    for (let band = at(Math.min(ay, by)); band <= at(Math.max(ay, by)); band++) bands[band].push(ax, ay, bx, by);
  });
  return bands;
}

/** Finds the nearest point: points sorted into square cells. */
export class Nearest {
  constructor(x, y, bounds) {
    Object.assign(this, { x, y, bounds });
    this.side = Math.min(1024, Math.max(1, Math.ceil(Math.sqrt(x.length / 2))));
    this.cells = new Uint32Array(this.side ** 2 + 1);
    for (let i = 0; i < x.length; i++) if (x[i] === x[i]) this.cells[this.cellOf(x[i], y[i]) + 1]++;
    for (let cell = 0; cell < this.side ** 2; cell++) this.cells[cell + 1] += this.cells[cell];
    const next = this.cells.slice();
    this.points = new Uint32Array(next[this.side ** 2]);
    for (let i = 0; i < x.length; i++) if (x[i] === x[i]) this.points[next[this.cellOf(x[i], y[i])]++] = i;
  }

  along(value, low, high) {
    return Math.min(this.side - 1, Math.max(0, Math.floor(((value - low) / (high - low || 1)) * this.side)));
  }

  cellOf(x, y) {
    const { left, right, top, bottom } = this.bounds;
    return this.along(y, top, bottom) * this.side + this.along(x, left, right);
  }

  /** The point nearest to a place, within a distance, among those that `accepts`; -1 where there is none. */
  find(x, y, distance, accepts) {
    const { left, right, top, bottom } = this.bounds;
    let [best, least] = [-1, distance ** 2];
    for (let row = this.along(y - distance, top, bottom); row <= this.along(y + distance, top, bottom); row++) {
      const [first, last] = [this.along(x - distance, left, right), this.along(x + distance, left, right)].map(
        (column) => row * this.side + column,
      );
      for (let at = this.cells[first]; at < this.cells[last + 1]; at++) {
        const point = this.points[at];
        const away = (this.x[point] - x) ** 2 + (this.y[point] - y) ** 2;
        if (away < least && accepts(point)) [best, least] = [point, away];
      }
    }
    return best;
  }
}

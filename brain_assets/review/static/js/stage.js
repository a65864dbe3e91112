// The program that serves the page: what it shows and selects is shown here, and what is selected here it is told.

import { ask, post, postForArrays } from "/static/js/api.js";
import { debounce } from "/static/js/dom.js";
import { packed, unpacked } from "/static/js/positions.js";
import { NOTHING_SOUGHT, set, state } from "/static/js/state.js";

const FOLLOW_EVERY = 700;
const SETTLED = 150;

export class Stage {
  /** @param {Explore} explore @param {() => Promise<void>} started resolves when it shows what there is */
  constructor(explore, started) {
    Object.assign(this, { explore, started, following: new Set(), shown: null, selection: 0, last: "", telling: 0 });
    this.tell = debounce(() => this.told(), SETTLED);
    explore.addEventListener("selection", () => this.following.has(state.dataset) && this.noticed());
  }

  /** Follows a dataset's program for as long as it is looked at. */
  async follow(dataset) {
    if (this.following.has(dataset)) return;
    this.following.add(dataset);
    while (state.dataset === dataset) {
      const found = await ask(dataset, "staged").catch(() => null);
      if (found && state.dataset === dataset) await this.take(found).catch(() => null);
      await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY));
    }
    this.following.delete(dataset);
  }

  async take(found) {
    if (found.number !== this.shown) {
      const isFirst = this.shown === null;
      this.shown = found.number;
      if (!isFirst || found.where) this.go({ filters: {}, where: found.where, text: "", ...NOTHING_SOUGHT }, { push: !isFirst });
    }
    // What is being told is newer than what was found.
    if (found.selection !== this.selection && !this.telling) await this.choose(found);
  }

  go(changes, how) {
    set({ tab: "explore", frame: "images", id: "", beside: "", ...changes }, how);
  }

  /** Selects what the program has selected. */
  async choose({ selection, selected }) {
    if (selected && state.tab !== "explore") this.go({});
    await this.started();
    const { frame } = this.explore;
    if (!frame) return;
    const asked = { version: frame.version, frame: frame.name, where: selected };
    const mask = selected ? unpacked((await postForArrays(state.dataset, "find", asked)).bits, frame.count) : null;
    if (frame !== this.explore.frame || this.telling) return;
    this.explore.choose(mask);
    this.selection = selection;
    this.last = this.now();
  }

  /** What is selected, as it is told. */
  now() {
    const mask = this.explore.meant();
    return mask ? `${this.explore.frame.name} ${packed(mask)}` : "";
  }

  noticed() {
    if (this.now() === this.last) return;
    this.telling++;
    this.tell();
  }

  async told() {
    const { explore } = this;
    const now = this.now();
    const started = this.telling;
    if (now !== this.last) {
      this.last = now;
      const [frame, bits] = now.split(" ");
      const asked = now ? { frame, bits } : {};
      const found = await post(state.dataset, "select", { version: explore.frame.version, ...asked }).catch(() => null);
      if (found) this.selection = found.selection;
    }
    if (this.telling === started) this.telling = 0;
  }
}

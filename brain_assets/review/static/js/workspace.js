// The workspace of one image: the picture with its objects, all that is known, the next and the previous, another beside it.

import { ask, pictureUrl } from "/static/js/api.js";
import { Corrector } from "/static/js/corrector.js";
import { difference } from "/static/js/difference.js";
import { trying } from "/static/js/dialogs.js";
import { fileName, h, number, put, typing } from "/static/js/dom.js";
import { Facts } from "/static/js/facts.js";
import { sayOfPairs, words } from "/static/js/say.js";
import { drawShapes, layerKey, layers, layerSwitches } from "/static/js/shapes.js";
import { set, state, watch } from "/static/js/state.js";
import { Viewer, together } from "/static/js/viewer.js";
import { involved } from "/static/js/why.js";

const REMEMBERED = 12;

export class Workspace {
  /**
   * @param {HTMLElement} panel
   * @param {() => object} context gives the overview and the words known for labels and tags
   * @param {{beside: (subject: object, by: number) => Promise<string | null>, place: (subject: object) => object | null}} order
   *   who comes before and after a subject where it was opened, and its place there
   */
  constructor(panel, context, order) {
    Object.assign(this, { panel, context, order, subjects: new Map() });
    this.viewers = [new Viewer("Image"), new Viewer("Image beside it")];
    together(...this.viewers);
    const ways = { open: (id) => this.open(id), compare: (id) => this.compare(id) };
    this.facts = new Facts(ways, context);
    this.corrector = new Corrector(this.viewers[0], context);
    this.build();
    watch("id", () => this.load());
    watch("beside", () => this.loadBeside());
    words.addEventListener("said", () => this.refresh());
    layers.addEventListener("changed", () => this.repaint());
    for (const viewer of this.viewers) {
      viewer.addEventListener("swipe", ({ detail: by }) => this.step(by));
      viewer.addEventListener("picture", () => this.showDifference());
    }
    addEventListener("keydown", (event) => state.id && this.key(event));
  }

  build() {
    const [viewer] = this.viewers;
    const button = (text, title, run, kind = "") =>
      h("button", { type: "button", class: kind, title, "aria-label": title, onclick: run }, text);
    this.heading = h("h2", { tabindex: -1 });
    this.placeShown = h("span", { class: "muted", role: "status" });
    this.previous = button("‹", "Previous (←)", () => this.step(-1), "icon");
    this.next = button("›", "Next (→)", () => this.step(1), "icon");
    this.switches = h("span", { class: "row wrap", role: "group", "aria-label": "Shown of objects" });
    this.pair = h("span", { class: "row wrap", role: "group", "aria-label": "Comparison", hidden: true });
    this.scroll = h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Everything known" });
    this.panes = this.viewers.map((one) => h("figure", { class: "pane" }, one.root, h("figcaption", { class: "path" })));
    this.panes[1].hidden = true;
    put(
      this.panel,
      h(
        "header",
        { class: "row wrap" },
        this.previous,
        this.next,
        this.heading,
        this.placeShown,
        h("span", { class: "spring" }),
        this.pair,
        this.switches,
        h(
          "span",
          { class: "row", role: "group", "aria-label": "Zoom" },
          button("−", "Zoom out (−)", () => viewer.zoom(1 / 1.4), "icon"),
          button("+", "Zoom in (+)", () => viewer.zoom(1.4), "icon"),
          button("⤢", "Show all of it (0)", () => viewer.fit(), "icon"),
          button("1:1", "Pixel by pixel (Z)", () => viewer.toggle(), "icon"),
        ),
        button("×", "Close (Esc)", () => this.close(), "plain close"),
      ),
      h("div", { class: "work" }, h("div", { class: "panes" }, this.panes), this.scroll),
    );
  }

  // -- coming and going

  open(id) {
    // Whoever walks from partner to partner comes back to where the walk began.
    if (!state.id) this.before = document.activeElement;
    set({ id, beside: "" });
  }

  close() {
    set({ id: "", beside: "" });
    if (this.before?.isConnected) this.before.focus();
    else document.activeElement?.blur();
  }

  /** What Escape does: ends a comparison, then closes. */
  escape() {
    if (this.corrector.escape()) return;
    if (state.beside) set({ beside: "" });
    else this.close();
  }

  compare(id) {
    if (id !== state.id) set({ beside: id });
  }

  async step(by) {
    const { subject } = this;
    const id = subject && (await this.order.beside(subject, by));
    if (id && state.id === subject.subject_id) set({ id, beside: "" });
  }

  // -- what is known, asked once and ahead

  about(id) {
    const key = `${this.context().version} ${id}`;
    if (!this.subjects.has(key)) {
      const asking = ask(state.dataset, "subject", { version: this.context().version, id });
      asking.catch(() => this.subjects.delete(key));
      this.subjects.set(key, asking);
      if (this.subjects.size > REMEMBERED) this.subjects.delete(this.subjects.keys().next().value);
    }
    return this.subjects.get(key);
  }

  /** Fetches what comes next, so that it is there at once. */
  async ahead(subject) {
    for (const by of [1, -1]) {
      const id = await this.order.beside(subject, by).catch(() => null);
      // Whoever steps on quickly is told of the picture that is shown, whichever answer comes last.
      if (this.subject !== subject) return;
      if (by === 1) this.next.disabled = !id;
      else this.previous.disabled = !id;
      if (!id) continue;
      const near = await this.about(id).catch(() => null);
      if (near) new Image().src = pictureUrl(state.dataset, near, "large", false);
    }
  }

  /** Shows what was just said. */
  refresh() {
    this.subjects.clear();
    this.load();
    if (state.beside) this.loadBeside();
  }

  /** Shows what the address asks for. */
  start() {
    this.subjects.clear();
    this.load();
    if (state.beside) this.loadBeside();
  }

  async load() {
    this.panel.hidden = !state.id;
    document.body.classList.toggle("with-detail", Boolean(state.id));
    if (!state.id) {
      this.subject = null;
      return undefined;
    }
    const asked = state.id;
    const subject = await trying(() => this.about(asked));
    if (!subject) return set({ id: "" });
    if (asked === state.id) this.show(subject);
    return undefined;
  }

  show(subject) {
    const fresh = this.panel.dataset.id !== subject.subject_id;
    Object.assign(this, { subject });
    this.panel.dataset.id = subject.subject_id;
    this.viewers[0].show(subject);
    put(this.heading, h("bdi", {}, fileName(subject.filepath)));
    this.corrector.show(subject);
    put(this.scroll, this.facts.of(subject, this.corrector.panel));
    put(this.switches, layerSwitches(subject.boxes ?? []));
    const place = this.order.place(subject);
    this.placeShown.textContent = place ? `${number(place.index + 1)} of ${number(place.count)}` : "";
    this.showPair();
    this.repaint();
    if (fresh) {
      this.scroll.scrollTop = 0;
      this.heading.focus({ preventScroll: true });
    }
    this.ahead(subject);
  }

  // -- two side by side

  async loadBeside() {
    const asked = state.beside;
    const other = asked && state.id ? await trying(() => this.about(asked)) : null;
    if (asked !== state.beside) return;
    this.other = other;
    this.differing = false;
    if (other) this.viewers[1].show(other);
    this.showPair();
    this.viewers[1].look(this.viewers[0].view, true);
    this.repaint();
  }

  showPair() {
    const other = state.beside && this.subject ? this.other : null;
    const { subject } = this;
    this.panes[1].hidden = !other;
    this.pair.hidden = !other;
    const name = (one) => h("bdi", {}, [one.filepath, one.split && ` · ${one.split}`]);
    this.panes.forEach((pane, index) => put(pane.lastChild, other && name(index ? other : subject)));
    if (!other) return;
    const toggle = h(
      "button",
      {
        type: "button",
        class: "small",
        title: "Show where they differ (X)",
        "aria-pressed": String(Boolean(this.differing)),
        onclick: () => this.toggleDifference(),
      },
      "Difference",
    );
    const say = (kind, text, title) =>
      h(
        "button",
        {
          type: "button",
          class: "small",
          title,
          onclick: () => sayOfPairs(kind, [subject.sample_id, other.sample_id], undefined, this.context().version),
        },
        text,
      );
    const ofImages = subject.sample_id !== other.sample_id;
    put(
      this.pair,
      ofImages && say("not_copy", "Not a copy", "They are not copies: never ask again"),
      ofImages && say("same_scene", "Same scene, keep both", "One scene, but two pictures: never ask again"),
      toggle,
      h("button", { type: "button", class: "small", onclick: () => set({ beside: "" }) }, "End comparison"),
    );
  }

  toggleDifference() {
    if (!this.other) return;
    this.differing = !this.differing;
    if (!this.differing) this.viewers[1].show(this.other);
    this.showPair();
    this.showDifference();
    this.repaint();
  }

  /** Once both pictures have come, and again when more of their pixels have. */
  showDifference() {
    if (!this.differing) return;
    const [one] = this.viewers;
    const other = h("img", { alt: "", src: pictureUrl(state.dataset, this.other, one.sharp ? "full" : "large", false) });
    const wanted = this.other;
    other.decode().then(
      () => {
        if (!this.differing || wanted !== this.other || !one.size) return;
        const { canvas, words: said } = difference(one.image, other);
        this.viewers[1].lay(canvas);
        this.viewers[1].look(one.view, true);
        put(this.panes[1].lastChild, said);
      },
      () => put(this.panes[1].lastChild, "One of the pictures cannot be shown."),
    );
  }

  // -- drawing

  repaint() {
    const [one, other] = this.viewers;
    one.paint = () => this.subject && this.corrector.paint(involved(this.subject));
    other.paint = () =>
      this.other && drawShapes(other, this.differing ? [] : (this.other.boxes ?? []), { emphasised: involved(this.other) });
    for (const viewer of this.viewers) viewer.place();
  }

  // -- keyboard

  key(event) {
    if (typing(event) || event.ctrlKey || event.metaKey) return;
    // The grid beside has keys of its own.
    if (event.target.closest?.("#grid, [role=tablist]") || this.corrector.keyed(event)) return;
    if (event.altKey || event.shiftKey) return;
    const [viewer] = this.viewers;
    const runs = {
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      "+": () => viewer.zoom(1.4),
      "=": () => viewer.zoom(1.4),
      "-": () => viewer.zoom(1 / 1.4),
      0: () => viewer.fit(),
      z: () => viewer.toggle(),
      x: () => this.toggleDifference(),
      ...this.facts.keys(this.subject),
    };
    const run = runs[event.key] ?? (layerKey(event.key) && (() => put(this.switches, layerSwitches(this.subject?.boxes ?? []))));
    if (!run) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    run();
  }
}

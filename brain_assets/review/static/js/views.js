// Saved views: a name for a map, colour, filter and order that all reviewers of a dataset share.

import { ask, post } from "/static/js/api.js";
import { askWord, notice, trying } from "/static/js/dialogs.js";
import { h, put } from "/static/js/dom.js";
import { reviewer } from "/static/js/say.js";
import { NOTHING_SOUGHT, fromView, link, set, state, viewOf, watch } from "/static/js/state.js";

export class Views {
  /** @param {HTMLElement} panel */
  constructor(panel) {
    this.views = [];
    this.list = h("select", { "aria-label": "Saved views", id: "views", onchange: () => this.open(this.list.value) });
    this.forget = h(
      "button",
      {
        type: "button",
        title: "Forget this view",
        "aria-label": "Forget this view",
        onclick: () => this.save(this.list.value, null),
      },
      "×",
    );
    panel.append(
      this.list,
      h("button", { type: "button", onclick: () => this.ask(), id: "save-view" }, "Save view…"),
      h("button", { type: "button", onclick: () => this.copy(), title: "Copy a link to what is shown" }, "Copy link"),
      this.forget,
    );
    watch("dataset", () => this.load());
    watch("frame map colour size sort descending filters where text", () => this.mark());
    this.load();
  }

  async load() {
    if (!state.dataset) return;
    this.views = (await trying(() => ask(state.dataset, "views"))) ?? [];
    this.mark();
  }

  /** Shows which view is open: the one that equals what is shown. */
  mark() {
    const shown = JSON.stringify(viewOf(state));
    const open = this.views.find((view) => JSON.stringify(fromView(view.state)) === shown);
    put(
      this.list,
      h("option", { value: "" }, this.views.length ? "Saved views…" : "No saved views"),
      this.views.map((view) => h("option", { value: view.name, selected: view === open }, view.name)),
    );
    this.list.value = open?.name ?? "";
    this.forget.hidden = !open;
  }

  open(name) {
    const view = this.views.find((known) => known.name === name);
    if (view) set({ ...fromView(view.state), tab: "explore", ...NOTHING_SOUGHT, id: "" }, { push: true });
  }

  async ask() {
    const name = await askWord({
      title: "Save this view",
      label: "Name",
      value: this.list.value,
      words: this.views.map((view) => view.name),
      action: "Save",
      note: "A view of the same name is replaced.",
    });
    if (name) this.save(name, viewOf(state));
  }

  async save(name, view) {
    const views = await trying(() => post(state.dataset, "save-view", { name, state: view, by: reviewer() }));
    if (!views) return;
    this.views = views;
    this.mark();
    notice(view ? `Saved the view “${name}”.` : `Forgot the view “${name}”.`);
  }

  async copy() {
    const address = location.origin + link();
    try {
      await navigator.clipboard.writeText(address);
      notice("Copied a link to what is shown.");
    } catch {
      notice(address);
    }
  }
}

// Further runs of methods, declared and computed from here: a map of some images, an index with another metric, other scores.

import { ask, post } from "/static/js/api.js";
import { notice, trying } from "/static/js/dialogs.js";
import { $, h, heading, number, plural, put, title } from "/static/js/dom.js";
import { packed } from "/static/js/positions.js";
import { state } from "/static/js/state.js";

const LOOK_EVERY = 2000;
/** Who computes may need a moment to begin. */
const PATIENCE = 60_000;

/** A field for what a run may say; left as it is, the dataset's own value holds. */
function entry({ name, description, value, choices }) {
  const id = `compute-${name.replace(".", "-")}`;
  const given = { id, data: { option: name }, "aria-describedby": `${id}-about` };
  const own = h("option", { value: "" }, value === "" ? "by default" : `${value} (as the dataset)`);
  const others = choices.filter((one) => one !== value).map((one) => h("option", { value: one }, one));
  return [
    h("label", { for: id }, heading(name.replace("parameters.", ""))),
    choices.length
      ? h("select", given, own, others)
      : h("input", { ...given, placeholder: value || "by default", maxlength: 1000, autocomplete: "off" }),
    h("p", { id: `${id}-about`, class: "muted" }, description),
  ];
}

/** What was entered, by name. */
const said = (form) =>
  Object.fromEntries(
    [...form.querySelectorAll("[data-option]")].filter((one) => one.value.trim()).map((one) => [one.dataset.option, one.value.trim()]),
  );

export class Compute {
  /** @param {() => {matching: number, count: number, mask: () => Uint8Array, version: string}} shown @param {() => void} done */
  constructor(shown, done) {
    Object.assign(this, { shown, done });
    this.methods = [];
    $("#compute").addEventListener("click", () => this.open());
    $("#working button").addEventListener("click", () => this.cancel());
  }

  /** Looks what can be computed of the present dataset. */
  async start() {
    this.methods = (await trying(() => ask(state.dataset, "methods"))) ?? [];
    $("#compute").hidden = !this.methods.length;
  }

  open() {
    const shown = this.shown();
    const some = shown.matching < shown.count && state.frame === "images";
    const methods = this.methods.map(({ method }) => h("option", { value: method }, title(method)));
    const choice = h("select", { id: "compute-method" }, methods);
    const key = h("input", { id: "compute-key", maxlength: 100, autocomplete: "off", pattern: "[A-Za-z_][A-Za-z0-9_]*", required: true });
    const about = h("p", { class: "muted" });
    const scope = h(
      "select",
      { id: "compute-scope" },
      h("option", { value: "all" }, `all ${plural(shown.count, "image")}`),
      some && h("option", { value: "shown" }, `the ${number(shown.matching)} that match the filters`),
    );
    const place = h("span", {});
    ask(state.dataset, "progress").then((found) => (place.textContent = ` It is computed by ${found.place}.`), () => {});
    const runs = h("ul", { class: "choices" });
    const settings = h("details", { id: "compute-options" });
    const chosen = () => this.methods.find(({ method }) => method === choice.value);
    const describe = () => {
      const { description, runs: declared, narrows, method, options } = chosen();
      about.textContent = description;
      let place = declared.length + 1;
      while (declared.includes(`${method}_${place}`)) place += 1;
      key.value = `${method}_${place}`;
      scope.disabled = !narrows;
      scope.value = some && narrows ? "shown" : "all";
      put(runs, declared.map((name) => this.declared(name, dialog)));
      runs.hidden = !declared.length;
      put(settings, h("summary", {}, "Parameters"), options.map(entry));
      settings.hidden = !options.length;
    };
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "compute-title" }, "Compute"),
      h("label", { for: "compute-method" }, "Method"),
      choice,
      about,
      runs,
      h("label", { for: "compute-key" }, "Name of the run"),
      key,
      h("label", { for: "compute-scope" }, "Over"),
      scope,
      settings,
      h("p", { class: "muted" }, "It is declared in the dataset's file, and stays current from then on.", place),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "primary" }, "Compute"),
      ),
    );
    const dialog = h("dialog", { class: "ask", "aria-labelledby": "compute-title" }, form);
    choice.addEventListener("change", describe);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const wanted = { method: choice.value, brain_key: key.value.trim(), options: said(settings) };
      this.ask(dialog, wanted, scope.value === "shown" ? shown : null);
    });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    describe();
    dialog.showModal();
  }

  declared(name, dialog) {
    return h(
      "li",
      { class: "row" },
      h("span", {}, name),
      h("span", { class: "spring" }),
      h("button", { type: "button", class: "plain small", "aria-label": `Delete ${name}`, onclick: () => this.remove(dialog, name) }, "Delete"),
    );
  }

  ask(dialog, wanted, shown) {
    return trying(async () => {
      const chosen = shown ? { version: shown.version, bits: packed(shown.mask()) } : {};
      await post(state.dataset, "compute", { ...wanted, ...chosen });
      dialog.close();
      notice(`${wanted.brain_key} is declared, and computed now.`);
      await this.follow();
    });
  }

  remove(dialog, name) {
    return trying(async () => {
      await post(state.dataset, "delete-run", { brain_key: name });
      dialog.close();
      notice(`${name} is being deleted.`);
      await this.follow();
    });
  }

  cancel() {
    return trying(async () => {
      const { cancelled } = await post(state.dataset, "cancel");
      notice(cancelled ? "It stops." : "Nothing is being computed any more.");
    });
  }

  /** Shows who works on the dataset until nobody does. */
  async follow() {
    const dataset = state.dataset;
    const since = performance.now();
    let begun = false;
    while (dataset === state.dataset) {
      const { running, failed } = await ask(dataset, "progress");
      begun ||= Boolean(running);
      $("#working span").textContent = running ? `Computing: ${running}` : "Computing…";
      $("#working").hidden = !running && begun;
      if (!running && (begun || failed || performance.now() - since > PATIENCE)) {
        if (failed) notice(failed, { failed: true });
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
    }
    $("#working").hidden = true;
    await this.start();
    this.done();
  }
}

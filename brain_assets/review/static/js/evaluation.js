// How models predict the labels: what is taken for what, per class, how far confidence can be trusted, and two models side by side.

import { ask } from "/static/js/api.js";
import { newest } from "/static/js/dialogs.js";
import { $, h, number, put, s, share } from "/static/js/dom.js";
import { NOTHING_SOUGHT, set, state, watch } from "/static/js/state.js";

/** Classes that the matrix shows: the commonest ones. */
const MOST = 30;
const FIRST = 12;

export class Evaluation {
  /** @param {() => object} context */
  constructor(context) {
    Object.assign(this, { context, panel: $("#evaluation"), shown: FIRST, asked: newest() });
    watch("tab of model other field from", () => state.tab === "evaluation" && this.enter());
  }

  get pairings() {
    return this.context().evaluated ?? [];
  }

  /** Of what, and which field and models the address asks for, as far as they are known. */
  get chosen() {
    const { pairings } = this;
    const first = pairings.find((row) => row.of === state.of && row.field === state.field) ?? pairings.find((row) => row.of === state.of) ?? pairings[0];
    const models = pairings.filter((row) => row.of === first?.of && row.field === first?.field).map((row) => row.model);
    const model = models.includes(state.model) ? state.model : models[0];
    const other = models.includes(state.other) && state.other !== model ? state.other : "";
    return { of: first?.of, field: first?.field, models, model, other };
  }

  async enter() {
    const { of, field, model, other } = this.chosen;
    if (!model)
      return put(
        this.panel,
        h("p", { class: "empty-note" }, "Nothing to evaluate: no model predicts a field with one label per image, or finds objects that have labels. Add predictions with brain attach."),
      );
    const confidence = of === "objects" && state.from !== "" ? state.from : undefined;
    const asked = { version: this.context().version, of, field, model, other: other || undefined, confidence };
    const found = await this.asked(() => ask(state.dataset, "evaluation", asked));
    if (found && state.tab === "evaluation") this.draw(found);
    return undefined;
  }

  draw(found) {
    put(
      this.panel,
      this.head(found),
      this.matrix(found),
      found.outcomes && this.beside(found),
      h("div", { class: "columns" }, this.classes(found), this.confusions(found), this.calibration(found)),
    );
  }

  head({ count, right, ap, ap50, confidence }) {
    const { of, field, models, model, other } = this.chosen;
    const named = (row) => `${row.of}/${row.field}`;
    const fields = new Map(this.pairings.map((row) => [named(row), row]));
    const told = of === "objects" ? `${number(right)} of ${number(count)} objects are found with their class (${share(right / (count || 1))})` : `${number(right)} of ${number(count)} are predicted as labelled (${share(right / (count || 1))})`;
    const choice = (event) => set({ of: fields.get(event.target.value).of, field: fields.get(event.target.value).field, model: "", other: "", from: "" });
    return h(
      "header",
      { class: "row wrap" },
      h("h2", {}, "Evaluation"),
      fields.size > 1 &&
        h("label", {}, "of ", h("select", { id: "evaluation-field", onchange: choice }, [...fields].map(([value, row]) => h("option", { value, selected: value === named({ of, field }) }, `${row.of}: ${row.field}`)))),
      h("label", {}, "by ", this.choose("model", models, model)),
      models.length > 1 && h("label", {}, "beside ", this.choose("other", ["", ...models.filter((one) => one !== model)], other)),
      of === "objects" && h("label", {}, "from a confidence of ", this.least(confidence)),
      h("strong", { role: "status" }, told),
      ap !== undefined && ap !== null && h("span", {}, `AP ${number(ap)}, AP50 ${number(ap50)}`),
    );
  }

  /** From where on predictions count; empty where precision and recall are best together. */
  least(confidence) {
    return h("input", {
      id: "evaluation-from",
      type: "number",
      min: 0,
      max: 1,
      step: 0.05,
      value: Number(confidence.toPrecision(3)),
      title: "Empty: where the harmonic mean of precision and recall is highest",
      onchange: (event) => set({ from: event.target.value }),
    });
  }

  choose(key, values, chosen) {
    const options = values.map((value) => h("option", { value, selected: value === chosen }, value || "no other"));
    return h("select", { id: `evaluation-${key}`, onchange: (event) => set({ [key]: event.target.value }) }, options);
  }

  /** Leads to the images or objects of some labels and predictions. */
  show(filters, where = "", sort = state.sort) {
    set({ tab: "explore", frame: this.chosen.of, filters, where, text: "", sort, ...NOTHING_SOUGHT }, { push: true });
  }

  /** Leads to those of a confusion. */
  open({ label, prediction, where }, columns) {
    if (where) this.show({}, where);
    else this.show({ [columns.label]: [label], [columns.prediction]: [prediction] });
  }

  matrix({ classes, confusions, columns }) {
    const isOfObjects = this.chosen.of === "objects";
    const shown = [...classes.slice(0, MOST).map((row) => row.label), ...(isOfObjects ? [null] : [])];
    const cells = new Map(confusions.map((row) => [JSON.stringify([row.label, row.prediction]), row]));
    const support = new Map(classes.map((row) => [row.label, row.support]));
    const cell = (label, prediction) => {
      const row = cells.get(JSON.stringify([label, prediction]));
      const kind = label === prediction ? "right" : "wrong";
      if (!row) return h("td", { class: `${kind} none` });
      const { count } = row;
      const told = `${number(count)} ${label === null ? "without a label" : `labelled ${label}`}, ${prediction === null ? "not found" : `predicted ${prediction}`}`;
      const shownCell = h("td", { class: kind }, h("button", { type: "button", class: "plain", title: told, "aria-label": told, onclick: () => this.open(row, columns) }, number(count)));
      shownCell.style.setProperty("--share", `${Math.round(100 * Math.sqrt(Math.min(1, count / (support.get(label ?? prediction) || count))))}%`);
      return shownCell;
    };
    const name = (label, none) => (label === null ? h("i", {}, none) : h("bdi", { title: label }, label));
    return h(
      "section",
      {},
      h("h3", {}, "What is taken for what"),
      classes.length > MOST && h("p", { class: "muted" }, `The ${MOST} commonest of ${number(classes.length)} classes; the list of mix-ups has all.`),
      h(
        "div",
        { class: "matrix", tabindex: 0, role: "group", "aria-label": "Confusion matrix" },
        h(
          "table",
          {},
          h("caption", { class: "muted" }, "Rows are labels, columns predictions"),
          h("thead", {}, h("tr", {}, h("td", {}), shown.map((label) => h("th", { scope: "col" }, name(label, "not found"))))),
          h("tbody", {}, shown.map((label) => h("tr", {}, h("th", { scope: "row" }, name(label, "no label")), shown.map((prediction) => cell(label, prediction))))),
        ),
      ),
    );
  }

  classes({ classes, columns, ranked }) {
    const told = (value) => (value === null ? "–" : share(value));
    const isOfObjects = this.chosen.of === "objects";
    const hardness = (row) => (isOfObjects ? row.ap : row.recall) ?? 2;
    const worst = classes.toSorted((a, b) => hardness(a) - hardness(b));
    const names = ["Class", isOfObjects ? "Objects" : "Images", "Recall", "Precision", ...(isOfObjects ? ["AP", "AP50"] : []), ...(Object.keys(ranked).length ? ["Look at"] : [])];
    return h(
      "section",
      {},
      h("h3", {}, "Per class, hardest first"),
      h(
        "div",
        { class: "wide", tabindex: 0, role: "region", "aria-label": "Per class" },
        h(
          "table",
          { class: "metrics" },
          h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
          h(
            "tbody",
            {},
            worst.slice(0, this.shown).map((row) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, h("bdi", {}, row.label)),
                h("td", {}, number(row.support)),
                [row.recall, row.precision, ...(isOfObjects ? [row.ap, row.ap50] : [])].map((value) => h("td", {}, told(value))),
                Object.keys(ranked).length > 0 && h("td", {}, row.support > 0 && this.ranked(row.label, columns, ranked)),
              ),
            ),
          ),
        ),
      ),
      this.more(classes.length),
    );
  }

  /** Leads to the hardest and to the most mistaken of a class. */
  ranked(label, columns, ranked) {
    const filters = this.chosen.of === "objects" ? { label: [label], source: ["ground_truth"] } : { [columns.label]: [label] };
    const open = (sort) => {
      set({ descending: true });
      this.show(filters, "", sort);
    };
    return Object.entries(ranked).map(([what, sort]) => h("button", { type: "button", class: "plain small", "aria-label": `The ${what} labelled ${label}`, onclick: () => open(sort) }, what));
  }

  more(count) {
    if (count <= this.shown) return null;
    const all = () => ((this.shown = Infinity), this.enter());
    return h("button", { type: "button", class: "plain small", onclick: all }, `${number(count - this.shown)} more`);
  }

  confusions({ confusions, columns }) {
    const wrong = confusions.filter((row) => row.label !== row.prediction);
    const name = (label, none) => (label === null ? h("i", {}, none) : h("bdi", {}, label));
    const entry = (row) =>
      h(
        "li",
        {},
        h("button", { type: "button", class: "plain", onclick: () => this.open(row, columns) }, `${number(row.count)} × `, name(row.label, "no label"), " → ", name(row.prediction, "not found")),
      );
    return h("section", {}, h("h3", {}, "Commonest mix-ups"), h("ul", {}, wrong.slice(0, this.shown).map(entry)), this.more(wrong.length));
  }

  /** How often the model is right where it is so sure: on the line where it says so itself. */
  calibration({ calibration, calibration_error: error }) {
    if (error === null) return null;
    const line = calibration.map((row) => `${row.confidence * 100},${100 - row.accuracy * 100}`).join(" ");
    return h(
      "section",
      {},
      h("h3", {}, "How far its confidence can be trusted"),
      s(
        "svg",
        { class: "calibration", viewBox: "-2 -2 104 104", role: "img", "aria-label": `Mean distance of confidence and accuracy: ${number(error)}` },
        s("path", { class: "ideal", d: "M0 100L100 0" }),
        s("polyline", { points: line }),
        calibration.map((row) => s("circle", { cx: row.confidence * 100, cy: 100 - row.accuracy * 100, r: 2 }, s("title", {}, `${number(row.count)}: confidence ${share(row.confidence)}, right ${share(row.accuracy)}`))),
      ),
      h("p", { class: "muted" }, `Across: confidence; up: how many are right. On average ${number(error)} apart.`),
    );
  }

  beside({ outcomes, neighbours, columns, columns_of_other: second }) {
    const { model, other } = this.chosen;
    const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
    const [label, one, two] = columns ? [columns.label, columns.prediction, second].map(quoted) : [];
    const conditions = {
      "both right": `${one} = ${label} and ${two} = ${label}`,
      "only the first": `${one} = ${label} and ${two} != ${label}`,
      "only the second": `${one} != ${label} and ${two} = ${label}`,
      "wrong alike": `${one} != ${label} and ${one} = ${two}`,
      "wrong, each its own": `${one} != ${label} and ${two} != ${label} and ${one} != ${two}`,
    };
    const entry = ({ outcome, count, where }) =>
      h("li", {}, h("button", { type: "button", onclick: () => this.show({}, where ?? conditions[outcome]) }, h("strong", {}, number(count)), ` ${outcome}`));
    return h(
      "section",
      {},
      h("h3", {}, "Side by side: first ", h("bdi", {}, model), ", second ", h("bdi", {}, other)),
      h("ul", { class: "outcomes row wrap" }, outcomes.map(entry)),
      neighbours?.apart > 0 &&
        h(
          "p",
          {},
          `Where they differ (${number(neighbours.apart)}), the first says ${number(neighbours.first)} times what most of the nearest ${this.chosen.of} are labelled, the second ${number(neighbours.second)} times.`,
        ),
    );
  }
}

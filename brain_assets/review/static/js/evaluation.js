// How models predict the labels: what is taken for what, per class, how far confidence can be trusted, and two models side by side.

import { ask } from "/static/js/api.js";
import { trying } from "/static/js/dialogs.js";
import { $, h, number, put, s, share } from "/static/js/dom.js";
import { NOTHING_SOUGHT, set, state, watch } from "/static/js/state.js";

/** Classes that the matrix shows: the commonest ones. */
const MOST = 30;
const FIRST = 12;

export class Evaluation {
  /** @param {() => object} context */
  constructor(context) {
    Object.assign(this, { context, panel: $("#evaluation"), shown: FIRST });
    watch("tab", () => state.tab === "evaluation" && this.enter());
    watch("model other field", () => state.tab === "evaluation" && this.enter());
  }

  get pairings() {
    return this.context().evaluated ?? [];
  }

  /** The field and models that the address asks for, as far as they are known. */
  get chosen() {
    const { pairings } = this;
    const field = pairings.some((row) => row.field === state.field) ? state.field : pairings[0]?.field;
    const models = pairings.filter((row) => row.field === field).map((row) => row.model);
    const model = models.includes(state.model) ? state.model : models[0];
    return { field, models, model, other: models.includes(state.other) && state.other !== model ? state.other : "" };
  }

  async enter() {
    const { field, model, other } = this.chosen;
    if (!model)
      return put(
        this.panel,
        h("p", { class: "empty-note" }, "Nothing to evaluate: no model predicts a field with one label per image. Add predictions with brain attach."),
      );
    const asked = { version: this.context().version, field, model, other: other || undefined };
    const found = await trying(() => ask(state.dataset, "evaluation", asked));
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

  head({ count, right }) {
    const { field, models, model, other } = this.chosen;
    const fields = [...new Set(this.pairings.map((row) => row.field))];
    return h(
      "header",
      { class: "row wrap" },
      h("h2", {}, "Evaluation"),
      fields.length > 1 && h("label", {}, "of ", this.choose("field", fields, field)),
      h("label", {}, "by ", this.choose("model", models, model)),
      models.length > 1 && h("label", {}, "beside ", this.choose("other", ["", ...models.filter((one) => one !== model)], other)),
      h("strong", { role: "status" }, `${number(right)} of ${number(count)} are predicted as labelled (${share(right / (count || 1))})`),
    );
  }

  choose(key, values, chosen) {
    const options = values.map((value) => h("option", { value, selected: value === chosen }, value || "no other"));
    return h("select", { id: `evaluation-${key}`, onchange: (event) => set({ [key]: event.target.value }) }, options);
  }

  /** Leads to the images of some labels and predictions. */
  show(filters, where = "") {
    set({ tab: "explore", frame: "images", filters, where, text: "", ...NOTHING_SOUGHT }, { push: true });
  }

  matrix({ classes, confusions, columns }) {
    const shown = classes.slice(0, MOST).map((row) => row.label);
    const counts = new Map(confusions.map((row) => [`${row.label}\n${row.prediction}`, row.count]));
    const support = new Map(classes.map((row) => [row.label, row.support]));
    const cell = (label, prediction) => {
      const count = counts.get(`${label}\n${prediction}`) ?? 0;
      const kind = label === prediction ? "right" : "wrong";
      if (!count) return h("td", { class: `${kind} none` });
      const told = `${number(count)} labelled ${label}, predicted ${prediction}`;
      const open = () => this.show({ [columns.label]: [label], [columns.prediction]: [prediction] });
      const shownCell = h("td", { class: kind }, h("button", { type: "button", class: "plain", title: told, "aria-label": told, onclick: open }, number(count)));
      shownCell.style.setProperty("--share", `${Math.round(100 * Math.sqrt(count / (support.get(label) || count)))}%`);
      return shownCell;
    };
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
          h("thead", {}, h("tr", {}, h("td", {}), shown.map((label) => h("th", { scope: "col" }, h("bdi", {}, label))))),
          h("tbody", {}, shown.map((label) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, label)), shown.map((prediction) => cell(label, prediction))))),
        ),
      ),
    );
  }

  classes({ classes }) {
    const told = (value) => (value === null ? "–" : share(value));
    const worst = classes.toSorted((a, b) => (a.recall ?? 2) - (b.recall ?? 2));
    return h(
      "section",
      {},
      h("h3", {}, "Per class, hardest first"),
      h(
        "table",
        { class: "metrics" },
        h("thead", {}, h("tr", {}, ["Class", "Images", "Recall", "Precision"].map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          worst.slice(0, this.shown).map((row) =>
            h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, row.label)), h("td", {}, number(row.support)), h("td", {}, told(row.recall)), h("td", {}, told(row.precision))),
          ),
        ),
      ),
      this.more(classes.length),
    );
  }

  more(count) {
    if (count <= this.shown) return null;
    const all = () => ((this.shown = Infinity), this.enter());
    return h("button", { type: "button", class: "plain small", onclick: all }, `${number(count - this.shown)} more`);
  }

  confusions({ confusions, columns }) {
    const wrong = confusions.filter((row) => row.label !== row.prediction);
    const entry = ({ label, prediction, count }) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "plain", onclick: () => this.show({ [columns.label]: [label], [columns.prediction]: [prediction] }) },
          `${number(count)} × `,
          h("bdi", {}, label),
          " → ",
          h("bdi", {}, prediction),
        ),
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
    const [label, one, two] = [columns.label, columns.prediction, second].map(quoted);
    const where = {
      "both right": `${one} = ${label} and ${two} = ${label}`,
      "only the first": `${one} = ${label} and ${two} != ${label}`,
      "only the second": `${one} != ${label} and ${two} = ${label}`,
      "wrong alike": `${one} != ${label} and ${one} = ${two}`,
      "wrong, each its own": `${one} != ${label} and ${two} != ${label} and ${one} != ${two}`,
    };
    const entry = ({ outcome, count }) =>
      h("li", {}, h("button", { type: "button", onclick: () => this.show({}, where[outcome]) }, h("strong", {}, number(count)), ` ${outcome}`));
    return h(
      "section",
      {},
      h("h3", {}, "Side by side: first ", h("bdi", {}, model), ", second ", h("bdi", {}, other)),
      h("ul", { class: "outcomes row wrap" }, outcomes.map(entry)),
      neighbours?.apart > 0 &&
        h(
          "p",
          {},
          `Where they differ (${number(neighbours.apart)}), the first says ${number(neighbours.first)} times what most of the nearest images are labelled, the second ${number(neighbours.second)} times.`,
        ),
    );
  }
}

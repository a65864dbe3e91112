// Where an issue begins: how many would be flagged from elsewhere on, counted while it is moved, and what would follow.

import { askArrays, post } from "/static/js/api.js";
import { notice, trying } from "/static/js/dialogs.js";
import { debounce, h, heading, number, plural, put, title } from "/static/js/dom.js";
import { state } from "/static/js/state.js";

/** Steps of the slider, the least flagged at its left. */
const STEPS = 400;
const WAIT = 500;

/** How many are as bad as a threshold or worse. */
export function reached({ values, ranks, worse }, threshold) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (worse === "above" ? values[middle] >= threshold : values[middle] <= threshold) low = middle + 1;
    else high = middle;
  }
  return low ? ranks[low - 1] : 0;
}

/** The threshold of fewest digits that flags as many as the value at a place, and none that is better. */
export function between({ values, worse }, place) {
  const beyond = worse === "above" ? 1 : -1;
  // Settings are above 0: of what is 0 the first is flagged in any case.
  if (place < 0 && values[0] > 0) return shortest(values[0], values[0] + beyond * values[0] * 0.05);
  if (place < 0) return between({ values, worse }, 0);
  const next = values[place + 1] ?? values[place] - beyond * (Math.abs(values[place]) * 0.05 || 0.01);
  return shortest(next, values[place]);
}

/** A short number in the interval that is open at one end and closed at the other. */
function shortest(open, closed) {
  const middle = (open + closed) / 2;
  for (let digits = 1; digits < 16; digits += 1) {
    const short = Number(middle.toPrecision(digits));
    if ((short - open) * (short - closed) < 0 || short === closed) return short;
  }
  return closed;
}

/** The place among the values that a step of the slider means: fine where little is flagged, coarse where much is. */
const placeOf = (values, step) => Math.round((values.length + 1) ** (step / STEPS)) - 2;
const stepOf = (values, place) => Math.round((STEPS * Math.log(place + 2)) / Math.log(values.length + 1));

export class Threshold {
  /** @param {() => object} context @param {() => Promise<void>} computing follows what is being computed */
  constructor(context, computing) {
    Object.assign(this, { context, computing, root: h("details", { id: "threshold" }) });
    this.root.addEventListener("toggle", () => this.root.open && this.load());
    this.suppose = debounce((asked) => this.follow(asked), WAIT);
  }

  /** The panel of an issue; null where it has no threshold that is one number. */
  of(issue) {
    const { words, version } = this.context();
    if (!words[issue]?.setting) return null;
    if (this.issue !== issue || this.version !== version) {
      Object.assign(this, { issue, version, given: null });
      put(this.root, h("summary", {}, "Threshold"));
      if (this.root.open) this.load();
    }
    return this.root;
  }

  async load() {
    const { issue, version } = this;
    if (this.given) return;
    const given = await trying(() => askArrays(state.dataset, "threshold", { version, issue }));
    if (!given || issue !== this.issue) return;
    this.given = given;
    this.draw();
  }

  draw() {
    const { given } = this;
    const standing = typeof given.said === "number" ? given.said : given.fitted;
    const origin = typeof given.said === "number" ? `said in ${given.origin}` : given.said === false ? "it is off" : standing === null ? "the evidence for each decides" : "fitted to the dataset, or by default";
    this.slider = h("input", { id: "threshold-slider", type: "range", min: 0, max: STEPS, value: 0, "aria-describedby": "threshold-count", disabled: !given.values.length });
    this.entry = h("input", { id: "threshold-entry", type: "number", step: "any", class: "narrow" });
    this.count = h("strong", { id: "threshold-count", role: "status" });
    this.outcome = h("div", { id: "threshold-outcome", role: "status" });
    this.standing = standing;
    put(
      this.root,
      h("summary", {}, "Threshold"),
      h("p", { class: "muted" }, given.description ?? "", ` ${heading(given.setting.split(".").at(-1))}: `, standing === null ? "" : `${number(standing)}, `, `${origin}.`),
      h("div", { class: "row wrap" }, h("label", { for: "threshold-slider" }, "Fewer"), this.slider, h("span", {}, "more"), h("label", { for: "threshold-entry" }, "at"), this.entry, this.count),
      this.outcome,
      given.writes && h("div", { class: "row wrap" }, this.writer(), h("button", { type: "button", disabled: given.said === null || given.said === undefined, onclick: () => this.write(null) }, "Back to the default")),
    );
    this.slider.addEventListener("input", () => this.move(between(given, placeOf(given.values, Number(this.slider.value)))));
    this.entry.addEventListener("input", () => this.entry.value !== "" && this.move(Number(this.entry.value), { typed: true }));
    if (standing === null || !given.values.length) this.tell(standing);
    else this.move(standing, { still: true });
  }

  writer() {
    this.button = h("button", { type: "button", class: "primary", disabled: true, onclick: () => this.write(this.value) }, "Write into the dataset's file");
    return this.button;
  }

  /** Takes another value, counts at once, and asks what would follow once it rests. */
  move(value, { typed = false, still = false } = {}) {
    this.value = value;
    if (!typed) this.entry.value = value;
    const { values } = this.given;
    const before = values.findIndex((one) => (this.given.worse === "above" ? one < value : one > value));
    if (typed || still) this.slider.value = stepOf(values, (before < 0 ? values.length : before) - 1);
    this.tell(value);
    if (this.button) this.button.disabled = value === this.standing;
    put(this.outcome);
    if (!still && this.given.writes) this.suppose({ issue: this.issue, value });
  }

  tell(value) {
    const { judged, counted } = this.given;
    if (value === null || !judged) {
      this.count.textContent = judged ? `${plural(judged, counted.slice(0, -1))} measured` : "Nothing was measured.";
      return;
    }
    const found = reached(this.given, value);
    const says = counted === "pairs" ? `${plural(found, "pair")} of ${number(judged)} within it` : `${number(found)} of ${number(judged)} flagged`;
    const now = this.standing === null ? "" : `, ${number(reached(this.given, this.standing))} now`;
    this.count.textContent = `${says}${value === this.standing ? "" : now}`;
    this.slider.setAttribute("aria-valuetext", `${number(value)}: ${says}`);
  }

  /** Shows what would follow from a threshold, unless it was moved on meanwhile. */
  async follow(asked) {
    const isCurrent = () => this.issue === asked.issue && this.value === asked.value && this.root.isConnected;
    if (!isCurrent()) return;
    put(this.outcome, h("span", { class: "muted" }, "What would follow…"));
    const found = await trying(() => post(state.dataset, "suppose", asked));
    if (!isCurrent()) return;
    put(this.outcome, found && this.outcomes(found));
  }

  outcomes({ before, after, gates, needs_run: needs }) {
    const moved = Object.keys(after).filter((name) => name.startsWith("issue_") && after[name] !== before[name]);
    const failing = gates.filter((one) => !one.passed);
    const word = (name) => this.context().words[name.slice(6)]?.title ?? title(name.slice(6));
    return [
      h("ul", { class: "row wrap" }, moved.map((name) => h("li", {}, `${word(name)}: ${number(before[name] ?? 0)} → `, h("strong", {}, number(after[name]))))),
      !moved.length && h("span", {}, "No count would be another."),
      failing.length > 0 && h("p", { class: "failing" }, `Gates that would fail: ${failing.map((one) => one.gate).join(", ")}`),
      Object.keys(needs).length > 0 && h("p", { class: "muted" }, `Only a run tells: ${Object.keys(needs).map(title).join(", ")}`),
    ];
  }

  write(value) {
    return trying(async () => {
      const { setting, overridden } = await post(state.dataset, "assign", { issue: this.issue, value });
      notice(overridden ? `${setting} is written, but ${overridden}.` : `${setting} is written, and what follows is computed now.`, { failed: Boolean(overridden) });
      this.given = null;
      await this.load();
      await this.computing();
    });
  }
}

// Opens a dataset and hands it to the tabs.

import { ask, askDatasets, connection, isLost } from "/static/js/api.js";
import { Compute } from "/static/js/compute.js";
import { Frame } from "/static/js/data.js";
import { askWord, newest, notice, tell, trying } from "/static/js/dialogs.js";
import { $, h, put, typing } from "/static/js/dom.js";
import { Evaluation } from "/static/js/evaluation.js";
import { Explore } from "/static/js/explore.js";
import { Groups } from "/static/js/groups.js";
import { News } from "/static/js/news.js";
import { Queue } from "/static/js/queue.js";
import { Overview } from "/static/js/overview.js";
import { rename, reviewer, undo } from "/static/js/say.js";
import { Stage } from "/static/js/stage.js";
import { fresh, set, state, watch } from "/static/js/state.js";
import { Threshold } from "/static/js/threshold.js";
import { Workspace } from "/static/js/workspace.js";

const TABS = ["overview", "explore", "queue", "groups", "evaluation", "news"];
const THEMES = { auto: "◐", light: "☀", dark: "☾" };
const LOOK_EVERY = 10_000;

let overview = { version: "", issues: [], words: {}, groups: [], runs: [], user: "" };
let frames = {};
let explored = null;
const overviewed = newest();

const wordsOf = async (name) => (frames.images?.has(name) ? ((await frames.images.column(name)).words ?? []) : []);
const classes = async () => (frames.objects ? ((await frames.objects.column("label")).words ?? []) : wordsOf("label"));
const context = () => ({ ...overview, labels: () => wordsOf("label"), tags: () => wordsOf("tags"), classes });

applyTheme(localStorage.getItem("review.theme") ?? "auto");
// Before and after an image are those of the list that it was opened from.
const order = {
  beside: async (subject, by) => ({ explore, queue })[state.tab]?.beside(subject, by) ?? null,
  place: (subject) => ({ explore, queue })[state.tab]?.place(subject) ?? null,
};
const workspace = new Workspace($("#detail"), context, order);
const openDetail = (id) => workspace.open(id);
const explore = new Explore(openDetail, (one, other) => (workspace.open(one), workspace.compare(other)));
const queue = new Queue(openDetail, context, new Threshold(context, () => compute.follow()));
const first = new Overview(openDetail, context);
const groups = new Groups(openDetail, context, (one, other) => (workspace.open(one), workspace.compare(other)));
const news = new News(context);
const evaluation = new Evaluation(context);
const stage = new Stage(explore, startExplore);
const compute = new Compute(() => explore.shown(), () => look());

async function start() {
  const datasets = await askDatasets();
  put(
    $("#dataset"),
    datasets.map((name) => h("option", { value: name }, name)),
  );
  $("#welcome").hidden = datasets.length > 0;
  if (!datasets.length) return;
  if (!datasets.includes(state.dataset)) set({ dataset: datasets[0] });
  else await load();
}

async function load() {
  $("#dataset").value = state.dataset;
  document.title = `${state.dataset} · review`;
  $("#fresh").hidden = true;
  const found = await overviewed(() => ask(state.dataset, "overview", { at: state.at || undefined }));
  if (!found) return;
  overview = found;
  frames = Object.fromEntries(
    Object.entries(found.frames).map(([name, described]) => [
      name,
      new Frame(state.dataset, found.version, name, described),
    ]),
  );
  $("#reviewer").textContent = reviewer(found.user);
  showLosses(found.inputs);
  showPast(found.past);
  explored = null;
  showTab();
  await (state.tab === "explore" || state.id ? startExplore() : ({ overview: first, queue, groups, evaluation, news })[state.tab]?.enter());
  workspace.start();
  compute.start();
  if (overview.staged) stage.follow(state.dataset);
  document.body.dataset.ready ??= Math.round(performance.now());
}

/** Loads map and grid of the present version when they are first looked at. */
function startExplore() {
  explored ??= overview.version ? explore.start(frames, overview).then(() => explore.views.load()) : null;
  return explored;
}

/** Scrolls a strip so that one of its buttons is seen; scrollIntoView would have the next Tab begin behind it. */
function bringIntoStrip(button) {
  const strip = button.parentElement;
  const [outer, inner] = [strip.getBoundingClientRect(), button.getBoundingClientRect()];
  strip.scrollLeft += Math.min(0, inner.left - outer.left) + Math.max(0, inner.right - outer.right);
}

/** Says which rows of labels and predictions are not used, before anything that is judged by the rest. */
function showLosses(inputs) {
  const lossy = inputs.filter((one) => one.lossy);
  $("#losses").hidden = !lossy.length;
  $("#losses").textContent = lossy.map((one) => one.says).join("; ");
}

/** Says that what is shown is no longer so. */
function showPast(name) {
  $("#past").hidden = !name;
  if (name) put($("#past"), `As it was published: ${name}. `, h("button", { type: "button", onclick: () => set({ at: "" }, { push: true }) }, "Back to now"));
}

function showTab() {
  const tab = TABS.includes(state.tab) ? state.tab : "explore";
  for (const name of TABS) {
    $(`#tab-${name}`).setAttribute("aria-selected", String(name === tab));
    $(`#tab-${name}`).tabIndex = name === tab ? 0 : -1;
    $(`#panel-${name}`).hidden = name !== tab;
  }
  bringIntoStrip($(`#tab-${tab}`));
  if (tab === "explore") trying(startExplore);
}

/** Says when newer data has been published. */
async function look() {
  if (document.hidden || !overview.version || overview.past || isLost()) return;
  const { version } = (await ask(state.dataset, "version").catch(() => null)) ?? overview;
  $("#fresh").hidden = version === overview.version;
}

function applyTheme(chosen) {
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  $("#theme").textContent = THEMES[chosen];
  $("#theme").setAttribute("aria-label", `Theme: ${chosen}`);
  $("#theme").dataset.chosen = chosen;
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const chosen = names[(names.indexOf($("#theme").dataset.chosen) + 1) % names.length];
  localStorage.setItem("review.theme", chosen);
  applyTheme(chosen);
  explore.themed();
}

async function askName() {
  const name = await askWord({
    title: "Who are you?",
    label: "Name",
    value: reviewer(overview.user),
    action: "Save",
    note: "Tags and decisions are noted under this name.",
  });
  if (name) rename(name);
  $("#reviewer").textContent = reviewer(overview.user);
}

const KEYS = [
  [
    "Anywhere",
    [
      ["1 to 6", "overview, explore, queues, duplicates, evaluation, what is new"],
      ["/", "search"],
      ["Ctrl Z", "undo"],
      ["Esc", "close, then clear the selection"],
      ["?", "this help"],
    ],
  ],
  [
    "Map",
    [
      ["drag", "pan, or the chosen tool"],
      ["Shift drag", "lasso; with Ctrl add, with Alt remove"],
      ["wheel, + −", "zoom"],
      ["arrows", "pan"],
      ["0", "show all"],
      ["Enter", "select what is in view"],
    ],
  ],
  [
    "Grid",
    [
      ["arrows", "move"],
      ["Enter", "open"],
      ["Space", "pick"],
      ["Shift arrows", "pick a range"],
      ["Ctrl A", "select all that match"],
      ["T", "tag"],
      ["K D R", "keep, drop, relabel"],
      ["S", "what is similar to the selected"],
    ],
  ],
  [
    "Image",
    [
      ["← →, swipe", "previous, next"],
      ["+ −, wheel", "zoom"],
      ["0 Z", "all of it, pixel by pixel"],
      ["drag, Shift arrows", "pan"],
      ["G P N", "labels, predictions, names"],
      ["X", "difference from the one beside it"],
      ["K C D T R", "keep, confirm, drop, tag, relabel"],
      ["B", "draw a box"],
      ["S", "draw around a part, and find what looks like it"],
      ["[ ], click", "choose an object"],
      ["arrows", "move the chosen box; with Shift by ten pixels, with Alt its corner"],
      ["A M R Del", "add what a model found, take its box, rename, remove"],
    ],
  ],
  [
    "Queue",
    [
      ["K C D", "keep, confirm, drop"],
      ["A M", "add what a model found, take its box"],
      ["R", "relabel to the suggestion"],
      ["L", "another label"],
      ["T", "tag"],
      ["S →", "skip"],
      ["←", "back"],
      ["U", "undo"],
      ["I", "everything known"],
    ],
  ],
  [
    "Duplicates",
    [
      ["↑ ↓", "next group"],
      ["A", "accept the proposal"],
      ["K", "keep all"],
      ["C", "compare the first two"],
      ["N S", "no copies, the same scene"],
      ["1–9", "keep only this one"],
      ["U", "undo"],
    ],
  ],
];

function help() {
  tell(
    "Keyboard",
    h(
      "div",
      { class: "keys" },
      KEYS.map(([where, rows]) =>
        h(
          "section",
          {},
          h("h3", {}, where),
          h(
            "dl",
            { class: "facts" },
            rows.map(([key, does]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)]),
          ),
        ),
      ),
    ),
  );
}

function key(event) {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing(event)) {
    event.preventDefault();
    undo();
    return;
  }
  if (typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const exploring = state.tab === "explore";
  const runs = {
    "/": () => (set({ tab: "explore" }), $("#search").focus()),
    "?": help,
    Escape: () => (state.id ? workspace.escape() : exploring && explore.clear()),
    t: () => exploring && explore.saySelected("tag"),
    k: () => exploring && explore.saySelected("keep"),
    d: () => exploring && explore.saySelected("drop"),
    s: () => exploring && explore.seekSelected(),
    r: () => exploring && state.frame === "images" && explore.saySelected("relabel"),
  };
  const tab = state.tab === "groups" ? undefined : TABS[Number(event.key) - 1];
  const run = tab ? () => set({ tab }, { push: true }) : runs[event.key];
  if (!run || (!exploring && "tkdrs".includes(event.key))) return;
  event.preventDefault();
  run();
}

/** Arrow keys move between tabs, as screen readers announce. */
function tabKey(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.stopPropagation();
  const name = TABS[(TABS.indexOf(state.tab) + by + TABS.length) % TABS.length];
  set({ tab: name }, { push: true });
  $(`#tab-${name}`).focus();
}

for (const name of TABS) $(`#tab-${name}`).addEventListener("click", () => set({ tab: name }, { push: true }));
$("[role=tablist]").addEventListener("keydown", tabKey);
$("#dataset").addEventListener("change", (event) =>
  set(fresh({ dataset: event.target.value, tab: state.tab }), { push: true }),
);
$("#theme").addEventListener("click", nextTheme);
$("#help").addEventListener("click", help);
$("#undo").addEventListener("click", () => undo());
$("#reviewer").addEventListener("click", askName);
$("#show-fresh").addEventListener("click", load);
addEventListener("keydown", key);
addEventListener("unhandledrejection", (event) =>
  notice(String(event.reason?.message ?? event.reason), { failed: true }),
);
/** Goes to the map or the grid past what lies before them. */
function skip(event) {
  event.preventDefault();
  set({ tab: "explore" }, { push: true });
  const target = { map: $("#lasso"), grid: $("#grid [tabindex='0']") ?? $("#grid") };
  target[event.target.dataset.to].focus();
}

for (const link of document.querySelectorAll("#skip a")) link.addEventListener("click", skip);
connection.addEventListener("lost", () => ($("#lost").hidden = false));
connection.addEventListener("back", () => {
  $("#lost").hidden = true;
  notice("The connection is back.");
  look();
});
watch("tab", showTab);
watch("dataset at", load);
setInterval(look, LOOK_EVERY);
addEventListener("visibilitychange", look);
trying(start);

// Questions to the user and short notices.

import { h } from "/static/js/dom.js";

/**
 * Asks for a word; resolves to it, or to null when the dialog is closed.
 *
 * @param {{title: string, label: string, value?: string, words?: string[], action?: string, note?: string}} asked
 */
export function askWord({ title, label, value = "", words = [], action = "OK", note = "" }) {
  return new Promise((resolve) => {
    const input = h("input", { value, list: "known-words", maxlength: 200, autocomplete: "off", id: "asked-word" });
    const given = () => {
      const word = input.value.trim();
      if (word) dialog.close(word);
    };
    const dialog = h(
      "dialog",
      { class: "ask", "aria-labelledby": "ask-title" },
      h("h2", { id: "ask-title" }, title),
      h("label", { for: "asked-word" }, label),
      input,
      h(
        "datalist",
        { id: "known-words" },
        words.slice(0, 500).map((word) => h("option", { value: word })),
      ),
      note && h("p", { class: "muted" }, note),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "button", class: "primary", onclick: given }, action),
      ),
    );
    input.addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), given()));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

/** Shows content in a dialog with a button to close it. */
export function tell(title, ...content) {
  const dialog = h(
    "dialog",
    { class: "tell", "aria-labelledby": "tell-title" },
    h("h2", { id: "tell-title" }, title),
    content,
    h(
      "div",
      { class: "row end" },
      h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close"),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

const region = () => document.getElementById("notices");

/** Shows a line for a while, with an action such as undo beside it. */
export function notice(text, { action, run, failed = false } = {}) {
  const shown = h(
    "div",
    { class: failed ? "notice failed" : "notice", role: failed ? "alert" : undefined },
    h("span", {}, text),
    action && h("button", { type: "button", onclick: () => (shown.remove(), run()) }, action),
    h("button", { type: "button", class: "plain", "aria-label": "Dismiss", onclick: () => shown.remove() }, "×"),
  );
  while (region().children.length > 2) region().firstChild.remove();
  region().append(shown);
  setTimeout(() => shown.remove(), failed ? 12000 : 7000);
}

/** Runs what may fail, and says so when it does. */
export async function trying(run) {
  try {
    return await run();
  } catch (error) {
    if (error.status === 410) notice(error.message, { action: "Reload", run: () => location.reload(), failed: true });
    else if (error.status === 401) notice(error.message, { action: "Sign in", run: () => location.reload(), failed: true });
    else notice(error.message, { failed: true });
    return undefined;
  }
}

/** Runs what asks for a panel as `trying` does; an answer that comes after a later question was asked is none. */
export function newest() {
  let turn = 0;
  return async (run) => {
    const mine = (turn += 1);
    const found = await trying(run);
    return mine === turn ? found : undefined;
  };
}

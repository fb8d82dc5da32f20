/* Why a letter is spam, in the browser: each word a bar, taken out by a click; words put in; the score moves.

   READS    state as views/why_spam.py makes it: {verdict, probability, at, ham_to, spam_from, rows, notes, changes, steps}.
   SENDS    {ask: "toggle", number}, {ask: "add", text}, {ask: "again"}; one at a time.
   SAFE     words come from strangers' letters and reach the page as text nodes only; nothing here parses HTML.
   KEYS     all are buttons and one field. JupyterLab must not hear plain keys pressed in here. */

const PATIENCE = 20000; // ms

function render({ model, el }) {
  let state = model.get("state");
  const { root, body, said, ask, settle, complain, forget } = panelOf(model, el, "why", "Why this is spam or ham", PATIENCE);

  const button = (words, message, more = {}) =>
    makeButton(words, () => ask(message), { "data-key": JSON.stringify(message), ...more });

  /* Where the score lies between ham and spam. */
  function scale() {
    const { at, ham_to: low, spam_from: high } = state;
    const place = (share) => `left:${(100 * clamp(share, 0, 1)).toFixed(2)}%`;
    return make(
      "div",
      { class: "lk-scale", "aria-hidden": "true" },
      make("span", { class: "lk-limit", style: place(low) }),
      make("span", { class: "lk-limit", style: place(high) }),
      make("span", { class: "lk-at", style: place(at) }),
    );
  }

  function bar(share) {
    const wide = `width:${(50 * Math.abs(clamp(share, -1, 1))).toFixed(1)}%`;
    return make("div", { class: "lk-pull", "aria-hidden": "true" }, make("span", { class: share < 0 ? "lk-ham" : "lk-spam", style: wide }));
  }

  function row({ token, removed, bar: share, ham, spam, f, weight }, number) {
    const words = removed ? `put ${token} back` : `take ${token} out`;
    return make(
      "tr",
      { class: removed ? "lk-gone" : "" },
      make("td", {}, button(removed ? "+" : "−", { ask: "toggle", number }, { klass: "lk-chip", "aria-label": words })),
      make("th", { scope: "row", class: "lk-mono" }, token),
      make("td", {}, bar(share)),
      ...[ham, spam, f, weight].map((each) => make("td", { class: "lk-mono" }, `${each}`)),
    );
  }

  function adding() {
    const field = make("input", { type: "text", class: "lk-input", maxlength: 500, "aria-label": "Words to put in", placeholder: "meeting" });
    const send = (event) => {
      event.preventDefault();
      if (field.value.trim()) ask({ ask: "add", text: field.value });
    };
    return make("form", { class: "lk-row", submit: send }, field, make("button", { type: "submit" }, "Put in"), button("As it came", { ask: "again" }));
  }

  function draw() {
    const key = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const heads = ["", "word", "ham | spam", "in ham", "in spam", "f(w)", "log odds"];
    const head = make("tr", {}, ...heads.map((name) => make("th", { scope: "col" }, name)));
    const rows = make("table", { class: "lk-table" }, make("thead", {}, head), make("tbody", {}, ...state.rows.map(row)));
    body.replaceChildren(
      make("p", { class: "lk-verdict" }, make("b", {}, `${state.verdict}: ${state.probability}`)),
      scale(),
      ...state.notes.map((note) => make("p", {}, note)),
      rows,
      adding(),
      ...(state.changes ? [make("p", { class: "lk-changes" }, state.changes)] : []),
      make("div", { class: "lk-steps lk-mono" }, ...state.steps.map((line) => make("div", {}, line))),
    );
    if (key) [...root.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus();
    said.textContent = `${state.verdict}, ${state.probability}`;
  }

  function heard() {
    settle();
    state = model.get("state");
    draw();
    complain(model.get("problem"));
  }

  model.on("change:turn", heard);
  draw();
  return () => {
    model.off("change:turn", heard);
    forget();
  };
}

export default { render };

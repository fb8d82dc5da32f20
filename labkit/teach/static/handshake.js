/* The handshake player in the browser: a TLS handshake step by step, with predictions.

   READS    state as views/handshake.py makes it: {title, steps, ending}. Stepping needs no kernel.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML.
   KEYS     right and left arrow go on and back, Home and End to the ends; the digits choose a prediction. */

function render({ model, el }) {
  let state = model.get("state");
  let at = 0; // how many steps are shown
  const said = {}; // by step, what was chosen
  const { root, body, said: told, forget } = panelOf(model, el, "handshake", "A TLS handshake, step by step", 30000);

  const waits = () => at < state.steps.length && state.steps[at].question && !(at in said);

  function go(to) {
    at = clamp(to, 0, state.steps.length);
    draw(true);
  }

  function choose(number) {
    if (!waits() || number >= state.steps[at].question.choices.length) return;
    said[at] = number;
    go(at + 1);
  }

  function prediction(step, number) {
    const { choices, truth, because } = step.question;
    const right = said[number] === truth;
    return make("p", { class: `lk-predicted ${right ? "lk-right" : "lk-wrong"}` },
      make("b", {}, right ? "✓ You had it. " : `✗ You said: ${choices[said[number]]}. It is: ${choices[truth]}. `), because);
  }

  function turn(step, number) {
    const lines = (texts) => texts.map((text) => make("div", { class: "lk-mono" }, text));
    const who = { C: "client", S: "server" }[step.speaker] || "";
    return make("li", { class: "lk-turn", "aria-label": `Step ${number + 1}` },
      make("div", { class: "lk-asked" }, make("span", { class: "lk-number" }, `${number + 1}`), make("b", {}, who ? `${who}: ` : ""), make("span", { class: "lk-mono" }, step.title)),
      number in said ? prediction(step, number) : null,
      step.wire.length ? make("div", { class: "lk-answer" }, make("span", { class: "lk-soft" }, "on the wire, everybody reads: "), ...lines(step.wire)) : null,
      step.inside.length ? make("div", { class: "lk-answer lk-inside" }, make("span", { class: "lk-soft" }, "at the two ends, nobody else knows: "), ...lines(step.inside)) : null,
      step.words ? make("p", { class: "lk-made" }, step.words, make("span", { class: "lk-source" }, ` ${step.source}`)) : null);
  }

  function stop() {
    const button = (words, act, klass) => makeButton(words, act, { klass });
    const row = make("div", { class: "lk-row", role: "group", "aria-label": "Go on" },
      at ? button("Back", () => go(at - 1), "lk-quiet") : null,
      at < state.steps.length ? button(waits() ? "Just show me" : "Go on", () => go(at + 1), waits() ? "lk-quiet" : "lk-main") : null,
      at < state.steps.length ? button("Show all", () => go(state.steps.length), "lk-quiet") : null,
      make("span", { class: "lk-hint" }, `${at} of ${state.steps.length} steps; arrow keys go on and back`));
    if (!waits()) return [row];
    const { asks, choices } = state.steps[at].question;
    const options = choices.map((choice, number) =>
      make("li", {}, makeButton(choice, () => choose(number), { klass: "lk-choice", before: make("span", { class: "lk-digit" }, `${number + 1}`) })));
    return [make("p", { class: "lk-sub" }, asks), make("ol", { class: "lk-choices", "aria-label": asks }, ...options), row];
  }

  function draw(isNew) {
    const within = root.contains(document.activeElement);
    const here = make("div", { class: "lk-stop" }, ...stop(),
      ...(at === state.steps.length ? state.ending.map((line) => make("p", { class: "lk-verdict" }, line)) : []));
    body.replaceChildren(
      make("p", { class: "lk-title" }, state.title),
      make("ol", { class: "lk-turns", "aria-label": "The steps so far" }, ...state.steps.slice(0, at).map(turn)),
      here);
    if (within) (here.querySelector(".lk-choice, .lk-main") || here.querySelector("button"))?.focus({ preventScroll: true });
    if (isNew) here.scrollIntoView({ block: "nearest" });
    const last = state.steps[at - 1];
    if (isNew && last) told.textContent = `Step ${at} of ${state.steps.length}: ${last.title}`;
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: state.steps.length };
    if (event.key in moves) {
      event.preventDefault();
      go(moves[event.key]);
    } else if (/^[1-9]$/.test(event.key)) choose(Number(event.key) - 1);
  }

  function heard() {
    state = model.get("state");
    draw(false);
  }

  root.addEventListener("keydown", key);
  draw(false);
  model.on("change:turn", heard);
  return () => {
    forget();
    model.off("change:turn", heard);
  };
}

export default { render };

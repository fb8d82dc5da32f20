/* The question stepper in the browser: a decision, one question at a time.

   READS    state as views/stepper.py makes it: {title, facts, before, turns, stop, verdict, score}; problem.
   SENDS    {ask: "choose", number}, {ask: "say", text}, {ask: "judge", number, right}, {ask: "on"}, {ask: "all"},
            {ask: "again"}; one at a time, the next when the kernel has answered.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML.
   KEYS     everything is a button; the digits choose as well. JupyterLab must not hear plain keys pressed in here. */

const PATIENCE = 30000; // ms: a nameserver that is silent is waited for
const WHAT = { next: "the question", answer: "the answer", verdict: "the verdict" };

function render({ model, el }) {
  let state = model.get("state");
  const { root, body, said, ask, settle, complain, forget } = panelOf(model, el, "stepper", "A decision, one question at a time", PATIENCE);

  const button = (words, message, more = {}) =>
    makeButton(words, () => ask(message), { "data-key": JSON.stringify(message), ...more });

  /* Text of several lines, each a line of its own. */
  const lines = (text) => text.split("\n").map((line) => make("span", { class: "lk-text" }, line));

  function made(steps) {
    if (!steps || !steps.length) return null;
    const items = steps.map(({ words, source, depth }) =>
      make(
        "li",
        { style: `margin-left:${depth * 1.2}em` },
        words,
        source ? make("span", { class: "lk-source" }, ` ${source}`) : null,
      ),
    );
    return make("ul", { class: "lk-made", "aria-label": "What was made of it" }, ...items);
  }

  const ended = (text) => (/[.?…]$/.test(text) ? text : `${text}.`);

  /* What was predicted, and whether it was right: in words, and by a sign. */
  function predictions(found) {
    return found.map(({ moment, what, text, right, sort }) => {
      const words = right === null ? "You said" : right ? "✓ You had it" : "✗ You said";
      const klass = right === null ? "lk-open" : right ? "lk-right" : "lk-wrong";
      const judge = (label, is) => button(label, { ask: "judge", number: moment, right: is }, { klass: "lk-chip" });
      const truth = right === false ? ` It was: ${ended(sort)}` : "";
      return make(
        "p",
        { class: `lk-predicted ${klass}` },
        make("b", {}, `${words} (${WHAT[what]})${right ? "." : ": "}`),
        right ? "" : ended(text),
        truth,
        ...(right === null ? [" ", judge("I was right", true), " ", judge("I was not", false)] : []),
      );
    });
  }

  function turn({ number, question, answer, made: steps, said: found }) {
    return make(
      "li",
      { class: "lk-turn", "aria-label": `Question ${number}` },
      make("div", { class: "lk-asked" }, make("span", { class: "lk-number" }, `${number}`), make("b", { class: "lk-text" }, question)),
      ...(answer === null ? [] : [make("div", { class: "lk-answer lk-mono" }, ...lines(answer))]),
      ...predictions(found),
      made(steps),
    );
  }

  function stop({ asks, choices, words, said: found }) {
    const group = (...parts) => make("div", { class: "lk-row", role: "group", "aria-label": asks || "Go on" }, ...parts);
    const skip = [
      button(asks ? "Just show me" : "Go on", { ask: "on" }, { klass: asks ? "lk-quiet" : "lk-main" }),
      button("Show all", { ask: "all" }, { klass: "lk-quiet" }),
    ];
    if (!asks) return [group(...skip)];
    if (words) {
      const input = make("input", { type: "text", class: "lk-input", "aria-label": asks, maxlength: "500" });
      const say = () => input.value.trim() && ask({ ask: "say", text: input.value });
      input.addEventListener("keydown", (event) => event.key === "Enter" && !event.shiftKey && say());
      return [...predictions(found), make("p", { class: "lk-sub" }, asks), group(input, makeButton("This is what I expect", say)), group(...skip)];
    }
    const options = choices.map((choice, number) =>
      make(
        "li",
        {},
        button(choice, { ask: "choose", number }, { klass: "lk-choice", before: make("span", { class: "lk-digit" }, `${number + 1}`) }),
      ),
    );
    return [
      ...predictions(found),
      make("p", { class: "lk-sub" }, asks),
      make("ol", { class: "lk-choices", "aria-label": asks }, ...options),
      group(...skip),
    ];
  }

  function ending({ verdict, reason, said: found, left_out }) {
    return [
      ...predictions(found),
      make(
        "div",
        { class: "lk-verdict", role: "group", "aria-label": "The verdict" },
        left_out ? make("p", { class: "lk-soft" }, left_out) : null,
        make("p", {}, "The verdict: ", make("b", {}, verdict)),
        ...reason.split("\n").filter(Boolean).map((line) => make("p", { class: "lk-text" }, line)),
        state.score ? make("p", { class: "lk-score" }, state.score) : null,
      ),
      make("div", { class: "lk-row" }, button("Run it again", { ask: "again" })),
    ];
  }

  function draw(isNew) {
    state = model.get("state");
    const within = root.contains(document.activeElement);
    const facts = state.facts.map(([name, value]) =>
      make("span", { class: "lk-fact" }, make("span", { class: "lk-soft" }, `${name}: `), make("span", { class: "lk-mono" }, value)),
    );
    const here = make("div", { class: "lk-stop" }, ...(state.verdict ? ending(state.verdict) : stop(state.stop)));
    body.replaceChildren(
      make("p", { class: "lk-title" }, state.title),
      make("div", { class: "lk-facts" }, ...facts),
      ...[made(state.before)].filter(Boolean),
      make("ol", { class: "lk-turns", "aria-label": "The questions so far" }, ...state.turns.map(turn)),
      here,
      make("p", { class: "lk-soft" }, state.verdict ? "" : state.score),
    );
    if (within) here.querySelector("input, button")?.focus({ preventScroll: true });
    if (isNew) here.scrollIntoView({ block: "nearest" });
    if (isNew) said.textContent = telling();
  }

  /* What a screen reader says after a step. */
  function telling() {
    if (state.verdict) return `The verdict: ${state.verdict.verdict}. ${state.score}`;
    const last = state.turns[state.turns.length - 1];
    if (!last) return "";
    const right = last.said.length ? last.said[last.said.length - 1].right : null;
    const verdict = right === null ? "" : right ? "Right. " : "Not so. ";
    return `${verdict}Question ${last.number}: ${last.question} ${last.answer === null ? "" : `Answer: ${last.answer}`}`;
  }

  function digit(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const number = Number(event.key) - 1;
    if (state.stop && Number.isInteger(number) && number >= 0 && number < state.stop.choices.length) ask({ ask: "choose", number });
  }

  function heard() {
    draw(true);
    settle();
    complain(model.get("problem"));
  }

  root.addEventListener("keydown", digit);
  draw(false);
  model.on("change:turn", heard);
  return () => {
    forget();
    model.off("change:turn", heard);
  };
}

export default { render };

/* The dialogue player in the browser.

   READS    state = {client, server, entries, focus, typing} as views/dialogue.py makes it, and problem.
   SENDS    {ask: "type", text} and {ask: "connect"}; everything else happens here, with or without a kernel.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML.
   KEYS     in the conversation: arrows, Home, End; in the input: Enter, arrows for earlier lines. JupyterLab must not
            hear plain keys pressed in here: it would move or even delete the cell. */

const SPEAKER = { C: "client", S: "server" };
const ICONS = { back: "M10 3 5 8l5 5", next: "M6 3l5 5-5 5" };
const PATIENCE = 8000; // ms until we say that the kernel does not answer
const READING = 30; // ms per letter of an explanation, when it plays by itself

function icon(path) {
  return svg("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" }, svg("path", { d: path }));
}

/* A host's name that may break after its dots. */
const breakable = (name) => name.split(/(?<=\.)/).flatMap((part) => [part, make("wbr")]);
const kebab = (words) => words.replace(/ /g, "-");

function render({ model, el }) {
  const id = "lk" + Math.random().toString(36).slice(2);
  let state = model.get("state");
  let current = clamp(state.focus - 1, 0, Math.max(state.entries.length - 1, 0));
  let shown = current; // the last line that is on view
  let timer = null; // set while it plays
  let options = [];
  const earlier = []; // lines typed, oldest first
  let recalled = 0; // where in them arrow up has led
  let pasted = []; // lines that wait for their Enter

  // --- the parts ------------------------------------------------------------------------------

  const machine = (speaker) => {
    const name = make("p", { class: "lk-name" });
    const knows = make("span", {});
    const label = make("span", { class: "lk-label" });
    const box = make(
      "div",
      { class: `lk-machine lk-${speaker}`, role: "group", "aria-label": SPEAKER[speaker] },
      make("p", { class: "lk-role" }, speaker === "C" ? "Client (C)" : "Server (S)"),
      name,
      make("p", { class: "lk-knows" }, label, knows),
    );
    return { box, name, label, knows };
  };
  const client = machine("C");
  const server = machine("S");
  const log = make("div", {
    class: "lk-log",
    role: "listbox",
    tabindex: "0",
    "aria-label": "The conversation. Arrow keys step through it.",
    keydown: (event) => logKey(event),
  });
  const stage = make("div", { class: "lk-stage" }, client.box, server.box, log);

  const again = makeButton("Start again", () => {
    shown = 0;
    step(0);
  });
  const back = makeButton("Back", () => step(current - 1), { before: icon(ICONS.back) });
  const next = makeButton("Next", () => step(current + 1), { klass: "lk-main", after: icon(ICONS.next) });
  const end = makeButton("To the end", () => step(state.entries.length - 1));
  const play = makeButton("Play", () => (timer === null ? startPlaying() : stopPlaying()));
  const slider = make("input", {
    type: "range",
    min: "1",
    "aria-label": "Position in the conversation",
    input: () => step(Number(slider.value) - 1),
  });
  const position = make("output", { "aria-hidden": "true" });
  const steps = make(
    "div",
    { class: "lk-steps", role: "group", "aria-label": "Steps" },
    again, back, next, end, play,
    make("div", { class: "lk-where" }, slider, position),
  );

  const whyWho = make("span", { class: "lk-why-who" });
  const source = make("span", { class: "lk-source" });
  const unseen = make("span", { class: "lk-unseen" });
  const words = make("p", { class: "lk-words" });
  const why = make(
    "div",
    { class: "lk-why", role: "status", "aria-live": "polite", "aria-atomic": "true" },
    make("div", { class: "lk-why-head" }, whyWho, source),
    unseen,
    words,
  );

  const label = make("label", { for: `${id}-input` });
  const input = make("input", {
    id: `${id}-input`,
    class: "lk-input",
    type: "text",
    maxlength: "20000",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    keydown: (event) => inputKey(event),
    paste: (event) => takePaste(event),
  });
  const send = makeButton("Send", () => say(), { klass: "lk-main" });
  const chips = make("div", { class: "lk-row lk-chips", role: "group", "aria-label": "Suggestions" });
  const line = make("div", {}, label, make("div", { class: "lk-row" }, input, send), chips);
  const connect = makeButton("Connect", () => ask({ ask: "connect" }), { klass: "lk-main" });
  const closed = make("span", {});
  const door = make("div", { class: "lk-row" }, connect, closed);
  const note = make("div", { class: "lk-note", role: "status" });
  const typing = make("div", { class: "lk-typing", role: "group", "aria-label": "Be the client" }, line, door, note);

  const problem = make("div", { class: "lk-problem", role: "alert", hidden: true });
  const root = make(
    "section",
    { class: "labkit labkit-dialogue", "data-labkit": "dialogue", keydown: keepFromJupyterLab },
    make("div", { class: "lk-card" }, stage, steps, why, typing, problem),
  );
  el.append(root);
  const { ask, settle, complain, isAsked, forget } = kernelOf(model, problem, PATIENCE, {
    asks: () => {
      stopPlaying();
      enable(send, false);
      enable(connect, false);
    },
    settles: () => {
      enable(send, true);
      enable(connect, true);
      countPasted();
    },
  });

  // --- stepping -------------------------------------------------------------------------------

  function step(to) {
    stopPlaying();
    move(to);
  }

  function move(to) {
    current = clamp(to, 0, Math.max(state.entries.length - 1, 0));
    shown = Math.max(shown, current);
    paint();
  }

  function startPlaying() {
    const tick = () => {
      move(current + 1);
      if (current >= state.entries.length - 1) return stopPlaying();
      timer = setTimeout(tick, clamp(state.entries[current].words.length * READING, 1500, 5000));
    };
    play.replaceChildren("Pause");
    timer = setTimeout(tick, 400);
  }

  function stopPlaying() {
    clearTimeout(timer);
    timer = null;
    play.replaceChildren("Play");
  }

  function logKey(event) {
    const to = {
      ArrowDown: current + 1,
      ArrowRight: current + 1,
      ArrowUp: current - 1,
      ArrowLeft: current - 1,
      Home: 0,
      End: state.entries.length - 1,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    step(to);
  }

  function keepFromJupyterLab(event) {
    if (!event.target.closest("input, .lk-log")) logKey(event); // the arrows step from anywhere in the player
    const runs = event.key === "Enter" && event.shiftKey && event.target !== input;
    if (!event.ctrlKey && !event.metaKey && !event.altKey && !runs) event.stopPropagation();
  }

  // --- drawing --------------------------------------------------------------------------------

  /* All of it, after the state has changed. */
  function draw(isFresh = false) {
    root.setAttribute("aria-label", `SMTP conversation between ${state.client} and ${state.server}`);
    client.name.replaceChildren(...breakable(state.client));
    server.name.replaceChildren(...breakable(state.server));
    options = state.entries.map(drawLine);
    const nothing = make("p", { class: "lk-empty" }, "Nothing has been said yet.");
    const scrolled = log.scrollTop;
    log.replaceChildren(...(options.length ? replies() : [nothing]));
    log.scrollTop = scrolled;
    steps.hidden = !options.length;
    drawTyping();
    paint(isFresh);
  }

  /* The lines, those of one reply together in a box, so that their codes stand one below the other. */
  function replies() {
    const boxes = [];
    state.entries.forEach((entry, index) => {
      if (index > 0 && state.entries[index - 1].goes_on) boxes[boxes.length - 1].append(options[index]);
      else if (entry.goes_on) boxes.push(make("div", { class: "lk-reply", role: "presentation" }, options[index]));
      else boxes.push(options[index]);
    });
    return boxes;
  }

  function drawLine(entry, index) {
    const said = entry.is_message
      ? make("div", { class: "lk-said" }, ...entry.lines.map((text) => make("div", {}, text)))
      : make("span", { class: "lk-said" }, entry.lines[0]);
    const verdict = entry.verdict
      ? make("span", { class: `lk-verdict lk-${kebab(entry.verdict)}` }, entry.verdict)
      : null;
    const kind = entry.speaker ? `lk-${entry.speaker}` : "lk-remark";
    const who = entry.speaker ? make("span", { class: "lk-who", "aria-hidden": "true" }, entry.speaker) : null;
    const spoken = entry.speaker ? make("span", { class: "lk-unseen" }, `${SPEAKER[entry.speaker]}: `) : null;
    return make(
      "div",
      {
        id: `${id}-${index}`,
        class: `lk-line ${kind}`,
        role: "option",
        click: () => step(index),
      },
      who,
      spoken,
      said,
      verdict,
    );
  }

  /* What a step changes. */
  function paint(isFresh = false) {
    const count = state.entries.length;
    const entry = state.entries[current] ?? null;
    options.forEach((option, index) => {
      option.classList.toggle("lk-later", index > shown);
      option.classList.toggle("lk-current", index === current);
      option.setAttribute("aria-selected", String(index === current));
    });
    if (entry) log.setAttribute("aria-activedescendant", options[current].id);
    else log.removeAttribute("aria-activedescendant");
    const before = state.entries[current - 1] ?? null;
    for (const [box, side] of [[client, "client"], [server, "server"]]) {
      const isNew = before !== null && entry[side] !== "" && before[side] !== entry[side];
      box.knows.textContent = entry ? entry[side] || "not known" : "no connection yet";
      box.label.textContent = isNew ? "new state" : "state";
      box.box.classList.toggle("lk-changed", isNew);
    }

    slider.max = String(Math.max(count, 1));
    slider.value = String(current + 1);
    slider.setAttribute("aria-valuetext", `line ${current + 1} of ${count}`);
    position.textContent = count ? `${current + 1} / ${count}` : "0 / 0";
    const atEnd = current >= count - 1;
    enable(again, shown > 0);
    enable(back, current > 0);
    for (const onward of [next, end, play]) enable(onward, !atEnd);
    explain(entry, count);
    if (entry) follow(options[current], isFresh ? options[shown] : options[current]);
  }

  /* A button that does nothing now keeps the focus: so not the attribute "disabled". */
  function enable(which, on) {
    which.setAttribute("aria-disabled", String(!on));
  }

  function explain(entry, count) {
    why.className = `lk-why${entry && entry.speaker ? ` lk-${entry.speaker}` : ""}`;
    if (!entry) {
      whyWho.textContent = "";
      source.textContent = "";
      unseen.textContent = "";
      words.textContent = state.typing ? "Connect, and the server speaks first." : "There is nothing to show.";
      return;
    }
    const verb = entry.is_message ? "sends the message" : entry.verdict ? `says: ${entry.verdict}` : "says";
    whyWho.textContent = entry.speaker ? `The ${SPEAKER[entry.speaker]} ${verb}` : "";
    source.textContent = entry.source;
    unseen.textContent = `Line ${current + 1} of ${count}: ${entry.lines.join("\n")}.`;
    words.textContent = entry.words;
  }

  /* Scroll the conversation, and never the page, so that this line is seen, and what follows it down to `last`. */
  function follow(option, last = option) {
    const top = option.offsetTop - 10;
    const bottom = last.offsetTop + last.offsetHeight + 10;
    let to = log.scrollTop;
    if (bottom > to + log.clientHeight) to = bottom - log.clientHeight;
    if (top < to) to = top;
    if (to === log.scrollTop) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    log.scrollTo({ top: to, behavior: still ? "auto" : "smooth" });
  }

  // --- typing ---------------------------------------------------------------------------------

  function drawTyping() {
    typing.hidden = !state.typing;
    if (!state.typing) return;
    const hadFocus = typing.contains(document.activeElement);
    const { open, content } = state.typing;
    line.hidden = !open;
    door.hidden = open;
    label.textContent = content ? "You are the client: type the next line of the message" : "You are the client: type the next command";
    connect.replaceChildren(state.typing.again ? "Connect again" : `Connect to ${state.server}`);
    closed.textContent = state.typing.again ? "The connection is closed." : "and be the client yourself.";
    const suggestions = state.typing.chips.map((chip) =>
      makeButton(chip.label, () => fill(chip.text, chip.caret), { klass: "lk-chip" }),
    );
    chips.hidden = !suggestions.length;
    chips.replaceChildren("Possible now:", ...suggestions);
    if (hadFocus) (open ? input : connect).focus({ preventScroll: true });
  }

  function fill(text, caret) {
    input.value = text;
    input.focus({ preventScroll: true });
    input.setSelectionRange(caret, caret);
  }

  function say() {
    if (isAsked()) return;
    const text = input.value;
    if (text && earlier[earlier.length - 1] !== text) earlier.push(text);
    recalled = earlier.length;
    if (!ask({ ask: "type", text })) return;
    fill(pasted.shift() ?? "", 0);
    input.setSelectionRange(input.value.length, input.value.length);
  }

  function inputKey(event) {
    if (event.isComposing) return;
    const up = event.key === "ArrowUp";
    if (event.key === "Enter") {
      event.preventDefault();
      say();
    } else if ((up && recalled > 0) || (event.key === "ArrowDown" && recalled < earlier.length)) {
      event.preventDefault();
      recalled += up ? -1 : 1;
      const text = earlier[recalled] ?? "";
      fill(text, text.length);
    }
  }

  /* Several lines pasted at once: the first goes into the input, the others follow, one at each Enter. */
  function takePaste(event) {
    const lines = (event.clipboardData?.getData("text/plain") ?? "").replace(/\r?\n$/, "").split(/\r\n|\r|\n/);
    if (lines.length < 2) return;
    event.preventDefault();
    const [start, stop] = [input.selectionStart, input.selectionEnd];
    const text = input.value.slice(0, start) + lines[0] + input.value.slice(stop);
    pasted = lines.slice(1);
    fill(text, text.length);
    countPasted();
  }

  function countPasted() {
    note.textContent = pasted.length ? `Enter sends this line; ${pasted.length} more of the pasted ones follow.` : "";
  }

  // --- the kernel -----------------------------------------------------------------------------

  function heard() {
    settle();
    state = model.get("state");
    const trouble = model.get("problem");
    if (!trouble) {
      shown = Math.max(state.entries.length - 1, 0);
      current = clamp(state.focus - 1, 0, shown);
    }
    draw(!trouble);
    complain(trouble);
  }
  model.on("change:turn", heard);
  draw();
  const sizes = new ResizeObserver(() => options.length && follow(options[current])); // there is no size yet
  sizes.observe(log);
  return () => {
    sizes.disconnect();
    stopPlaying();
    forget();
    model.off("change:turn", heard);
  };
}

export default { render };

/* The queues of a lab in the browser.

   READS    state as views/queue.py makes it: {title, time, running, spans, hosts, head, shape, spool, said}; problem.
   SENDS    {ask: "advance", span}, {ask: "host", host, do}, {ask: "message", host, id, do}, {ask: "close"}; one at a
            time, the next when the kernel has answered.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML.
   KEYS     everything is a button. JupyterLab must not hear plain keys pressed in here. */

const PATIENCE = 20000; // ms until we say that the kernel does not answer: a day of a large lab takes its time

/* A name that may break after its dots and at signs. */
const breakable = (text) => text.split(/(?<=[.@]|[a-z]:)/).flatMap((part) => [part, make("wbr")]);

function render({ model, el }) {
  let state = model.get("state");
  const { root, body, said, ask, settle, complain, forget } = panelOf(model, el, "queue", "The queues of the lab", PATIENCE);

  // --- the parts ------------------------------------------------------------------------------

  const button = (words, message, { on = true, klass = "", label = null } = {}) =>
    makeButton(words, () => ask(message), {
      klass,
      "data-key": JSON.stringify(message), // finds it again, for the focus, when all is drawn anew
      "aria-label": label,
      "aria-disabled": String(!on || !state.running),
    });

  function head() {
    const spans = state.spans.map(([span, words]) => button(`+ ${words}`, { ask: "advance", span }));
    return [
      make("p", { class: "lk-title" }, state.title),
      make(
        "div",
        { class: "lk-row", role: "group", "aria-label": "Lab time" },
        make("span", { class: "lk-time" }, state.running ? state.time : "The lab is stopped."),
        ...spans,
      ),
    ];
  }

  function host(found) {
    const { name } = found;
    const act = (words, what, on, label) => button(words, { ask: "host", host: name, do: what }, { on, label });
    const up = found.is_running;
    return make(
      "section",
      { class: `lk-host${up ? "" : " lk-down"}`, "aria-label": `${name}, ${found.state}, ${found.waiting} waiting` },
      make(
        "div",
        { class: "lk-host-head" },
        make("b", {}, ...breakable(name)),
        make("span", { class: "lk-mono" }, found.address),
        make("span", { class: "lk-state" }, found.state),
        make("span", { class: "lk-count" }, `${found.waiting} waiting`),
        make("span", { class: "lk-soft" }, `next queue run: ${found.next_run}`),
      ),
      make(
        "div",
        { class: "lk-row", role: "group", "aria-label": `What to do at ${name}` },
        up ? act("Take it down", "down", true, `Take ${name} down`) : act("Bring it up", "up", true, `Bring ${name} up`),
        act("Run the queue (-q)", "run", up, `Run the queue of ${name}, exim -q`),
        act("Force all (-qff)", "force", up, `Force all messages of ${name}, exim -qff`),
      ),
      found.messages.length ? messages(found) : null,
      found.more ? make("p", { class: "lk-soft" }, `and ${found.more.toLocaleString("en")} more messages`) : null,
    );
  }

  function messages(found) {
    const head = state.head.slice(0, -1);
    const rows = found.messages.flatMap((message) => {
      const act = (words, what, label, on = true) =>
        button(words, { ask: "message", host: found.name, id: message.id, do: what }, { on, klass: "lk-chip", label });
      const why = message.cells[message.cells.length - 1]; // has a line of its own: it is long
      const cells = message.cells.slice(0, -1).map((text, column) =>
        make(
          "td",
          { class: column === 0 ? "lk-mono" : "" },
          ...text.split("\n").map((line) => make("span", {}, ...breakable(line))),
        ),
      );
      const freezing = message.frozen
        ? act("Thaw (-Mt)", "thaw", `Thaw ${message.id}`)
        : act("Freeze (-Mf)", "freeze", `Freeze ${message.id}`);
      const actions = make(
        "td",
        { colspan: String(head.length) },
        why ? make("p", { class: "lk-why-line" }, make("b", {}, `${state.head[head.length]}: `), why) : null,
        make(
          "div",
          { class: "lk-row", role: "group", "aria-label": `What to do with ${message.id}` },
          act("Deliver it now (-M)", "force", `Deliver ${message.id} now, exim -M`, found.is_running),
          freezing,
          act("Its spool files", "spool", `Open the spool files of ${message.id}`),
        ),
      );
      return [make("tr", { class: "lk-message" }, ...cells), make("tr", { class: "lk-actions" }, actions)];
    });
    return scrolled(
      `Messages that wait at ${found.name}`,
      make(
        "table",
        { class: "lk-table", "aria-label": `Messages that wait at ${found.name}` },
        make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...rows),
      ),
    );
  }

  function scrolled(label, table) {
    return make("div", { class: "lk-scroll", tabindex: "0", role: "region", "aria-label": label }, table);
  }

  function shape() {
    const { caption, head, rows } = state.shape;
    if (rows[0][1] === "0") return [make("p", { class: "lk-soft" }, "No message waits anywhere.")];
    const cell = (text, column) =>
      make("td", { class: column === 0 ? "" : text === "0" ? "lk-zero" : "lk-number" }, text);
    return [
      make("p", { class: "lk-sub" }, caption),
      scrolled(
        caption,
        make(
          "table",
          { class: "lk-table lk-shape", "aria-label": caption },
          make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
          make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))),
        ),
      ),
    ];
  }

  function spool() {
    if (!state.spool) return [];
    const lines = (part) =>
      part.lines.map(([text, words]) =>
        make("tr", {}, make("td", { class: "lk-mono" }, text || " "), make("td", { class: "lk-soft" }, words)),
      );
    return [
      make(
        "section",
        { class: "lk-spool", "aria-label": state.spool.title },
        make(
          "div",
          { class: "lk-row" },
          make("span", { class: "lk-sub" }, state.spool.title),
          button("Close", { ask: "close" }, { label: "Close the spool files" }),
        ),
        ...state.spool.parts.map((part) =>
          scrolled(
            part.name,
            make("table", { class: "lk-table" }, make("caption", {}, part.name), make("tbody", {}, ...lines(part))),
          ),
        ),
      ),
    ];
  }

  // --- drawing --------------------------------------------------------------------------------

  function draw() {
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    body.replaceChildren(
      ...head(),
      ...state.hosts.map(host),
      ...(state.clocks ? [make("p", { class: "lk-soft lk-clocks" }, state.clocks)] : []),
      ...(state.left_out ? [make("p", { class: "lk-soft" }, state.left_out)] : []),
      ...shape(),
      ...spool(),
    );
    said.textContent = state.said;
    if (!focused) return;
    const keys = [...body.querySelectorAll("button")];
    const own = keys.find((each) => each.dataset.key === focused);
    (own ?? twin(keys, focused) ?? keys[0])?.focus({ preventScroll: true });
  }

  /* Where "down" was is "up" now: the focus stays with the same host or message. */
  function twin(keys, focused) {
    const was = JSON.parse(focused);
    return keys.find((each) => {
      const is = JSON.parse(each.dataset.key);
      return is.ask === was.ask && is.host === was.host && is.id === was.id;
    });
  }

  // --- the kernel -----------------------------------------------------------------------------

  function heard() {
    state = model.get("state");
    draw();
    if (state.answered !== answered || model.get("problem")) {
      answered = state.answered;
      settle();
      complain(model.get("problem"));
    }
  }
  let answered = state.answered;
  model.on("change:turn", heard);
  draw();
  return () => {
    forget();
    model.off("change:turn", heard);
  };
}

export default { render };

/* The header dissector in the browser: a message taken apart, checked again, and broken on purpose.

   READS    state as views/dissector.py makes it: {picks, has_world, said, message: {fields, trust, hops, findings, body,
            checks, octets, editing, edits, broken, …}}; problem.
   SENDS    {ask: "paste", text}, {ask: "upload", name, content}, {ask: "pick", number}, {ask: "look"}, {ask: "check"},
            {ask: "trust", level}, {ask: "octets", number}, {ask: "edit", index}, {ask: "close"},
            {ask: "change", index, text}, {ask: "undo"}, {ask: "original"}; one at a time.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML, or a message.
   KEYS     the fields are a list: arrows, Home and End go through it; the rest are buttons, a slider and text fields. */

const PATIENCE = 60000; // ms: a large message, a silent nameserver
const LARGEST = 6000000; // octets of an upload
const BODY = -1;
const SAYS = {
  pass: "lk-good", fail: "lk-bad", permerror: "lk-bad", softfail: "lk-mid", temperror: "lk-mid", policy: "lk-mid",
  neutral: "lk-mid", none: "lk-mid",
};

function render({ model, el }) {
  let state = model.get("state");
  let looked = 0; // which field is looked at
  let level = 0; // of the slider, while it moves
  let wanted = null; // where it was put while the kernel was busy
  let isPasting = false;
  let draft = null; // what stands in the editor and was not put in yet: {index, text}
  const unfolded = new Set(); // which steps are unfolded
  const { root, body, said, ask, settle, complain, forget } = panelOf(model, el, "dissector", "The header dissector", PATIENCE);

  const button = (words, message, more = {}) =>
    makeButton(words, () => ask(message), { "data-key": JSON.stringify(message), ...more });
  const row = (label, ...parts) => make("div", { class: "lk-row", role: "group", "aria-label": label }, ...parts);
  const panel = (title, ...parts) =>
    make("section", { class: "lk-panel", "aria-label": title }, make("p", { class: "lk-sub" }, title), ...parts);
  const soft = (text) => make("p", { class: "lk-soft" }, text);

  // --- which message ----------------------------------------------------------------------------

  function sources() {
    const parts = [];
    if (state.has_world) {
      const select = make(
        "select",
        { class: "lk-input", "aria-label": "A message of the lab", "data-key": "pick" },
        ...(state.picks.length ? [] : [make("option", {}, "(the mailboxes are empty)")]),
        ...state.picks.map((label, number) => make("option", { value: String(number) }, label)),
      );
      const open = () => state.picks.length && ask({ ask: "pick", number: Number(select.value) });
      parts.push(select, makeButton("Open it", open, { "data-key": "open" }), button("Look again", { ask: "look" }, { klass: "lk-quiet" }));
    }
    const toggle = () => {
      isPasting = !isPasting;
      draw();
      if (isPasting) body.querySelector("textarea.lk-paste").focus();
    };
    parts.push(makeButton("Paste one", toggle, { "data-key": "paste", "aria-expanded": String(isPasting) }));
    const file = make("input", { type: "file", class: "lk-unseen", tabindex: "-1", "aria-label": "A file with a message", accept: ".eml,.txt,message/rfc822" });
    file.addEventListener("change", () => file.files.length && upload(file.files[0]));
    parts.push(makeButton("Upload a file (.eml)", () => file.click(), { "data-key": "upload" }), file);
    return [row("Which message", ...parts), ...(isPasting ? paste() : [])];
  }

  function paste() {
    const text = make("textarea", { class: "lk-input lk-paste", rows: "8", spellcheck: "false", "aria-label": "The source of a message, header and body", "data-key": "pasted" });
    const take = () => {
      if (ask({ ask: "paste", text: text.value })) isPasting = false;
    };
    return [make("div", { class: "lk-pasting" }, text, makeButton("Take it apart", take, { klass: "lk-main" }))];
  }

  function upload(file) {
    if (file.size > LARGEST) return complain(`The file has ${file.size.toLocaleString("en")} octets; ${LARGEST.toLocaleString("en")} is the most.`);
    const reader = new FileReader();
    reader.onload = () => ask({ ask: "upload", name: file.name, content: reader.result.replace(/^[^,]*,/, "") });
    reader.onerror = () => complain("The file cannot be read.");
    reader.readAsDataURL(file);
  }

  // --- the fields -------------------------------------------------------------------------------

  function fields(message) {
    const { boundary } = message.trust.boundaries[level];
    const options = message.fields.map((field) => option(field, field.index >= boundary));
    const at = message.fields.findIndex((field) => field.index >= boundary);
    if (at >= 0) options.splice(at, 0, make("li", { class: "lk-boundary", role: "presentation" }, "from here on, a stranger could have written it"));
    const list = make(
      "ul",
      {
        class: "lk-fields", role: "listbox", tabindex: "0", "aria-label": "The header fields, top to bottom", "data-key": "fields",
        keydown: arrows, mouseleave: () => tell(looked),
      },
      ...options,
    );
    return panel(
      "The header, coloured by who writes each field",
      legend(message),
      slider(message),
      make("div", { class: "lk-columns" }, make("div", {}, list, message.more_fields ? soft(message.more_fields) : null), make("div", { class: "lk-detail" })),
    );
  }

  function option(field, forged) {
    return make(
      "li",
      {
        class: `lk-field lk-by-${field.group}${forged && !field.signed ? " lk-forged" : ""}`, role: "option", id: idOf(field.index),
        "aria-label": `${field.name}, ${field.writer}${field.signed ? ", signed" : forged ? ", could be forged" : ""}: ${field.value}`,
        "data-index": String(field.index),
        click: () => look(field.index),
        mousemove: (event) => (event.movementX || event.movementY) && tell(field.index), // not if the list moves below it
      },
      make("span", { class: "lk-name" }, field.name),
      make("span", { class: "lk-writer" }, field.writer, field.signed ? make("span", { class: "lk-signed" }, " ✓ signed") : null),
      make("span", { class: "lk-value" }, field.value),
    );
  }

  const own = Math.random().toString(36).slice(2);
  const idOf = (index) => `lk-${own}-field-${index}`;

  function legend(message) {
    const seen = new Map();
    for (const { group, writer } of message.fields) {
      const words = writer.replace(/ \(.*/, "");
      if (!seen.has(group)) seen.set(group, new Set());
      seen.get(group).add(words);
    }
    const items = [...seen].map(([group, words]) => make("span", { class: `lk-legend lk-by-${group}` }, [...words].join(", ")));
    return make("p", { class: "lk-legends" }, ...items);
  }

  /* The slider moves the boundary by itself; the kernel is asked when it is let go. */
  function slider(message) {
    const { levels, boundaries } = message.trust;
    const input = make("input", {
      type: "range", min: "0", max: String(levels), value: String(level), "data-key": "trust",
      "aria-label": "How many of the topmost Received fields you believe", "aria-valuetext": boundaries[level].words,
      disabled: levels === 0,
    });
    input.addEventListener("input", () => {
      level = Number(input.value);
      draw();
    });
    input.addEventListener("change", () => believe(Number(input.value)));
    return make(
      "div",
      { class: "lk-trust" },
      make("div", { class: "lk-row" }, make("span", {}, "You believe"), input, make("output", {}, `${level} of ${levels} Received fields`)),
      make("p", { class: "lk-soft" }, boundaries[level].words),
    );
  }

  /* Arrow keys are quicker than the kernel: what was wanted meanwhile is asked for afterwards. */
  function believe(wish) {
    wanted = ask({ ask: "trust", level: wish }) ? null : wish;
  }

  function arrows(event) {
    const { fields: all } = state.message;
    const at = all.findIndex(({ index }) => index === looked);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1, PageDown: at + 10, PageUp: at - 10 }[event.key];
    if (to === undefined || !all.length) return;
    event.preventDefault();
    look(all[clamp(to, 0, all.length - 1)].index);
  }

  function look(index) {
    looked = index;
    for (const each of body.querySelectorAll(".lk-field")) {
      const is = Number(each.dataset.index) === index;
      each.setAttribute("aria-selected", String(is));
      if (is) each.scrollIntoView({ block: "nearest" });
    }
    body.querySelector(".lk-fields")?.setAttribute("aria-activedescendant", idOf(index));
    tell(index);
  }

  /* What is known of a field, beside the list. */
  function tell(index) {
    const place = body.querySelector(".lk-detail");
    const field = state.message?.fields.find((each) => each.index === index);
    if (!place || !field) return;
    const open = state.message.editing?.index;
    if (open === looked && index !== looked) return; // who edits does not want it to go by itself
    const { boundary } = state.message.trust.boundaries[level];
    const editing = state.message.editing?.index === index && index === looked;
    const parts = [
      make("p", { class: `lk-title lk-by-${field.group}` }, field.name),
      make("p", { class: "lk-soft" }, `${field.lines}, ${field.kind}; written by ${field.writer}${field.rfc ? `; ${field.rfc}` : ""}`),
      make("p", {}, field.words),
      field.signed ? make("p", { class: "lk-good-words" }, `✓ A good signature of ${field.signed} covers it.`) : null,
      index >= boundary && !field.signed ? make("p", { class: "lk-warn" }, "Below the trust boundary: a stranger could have written this.") : null,
      editing ? editor(state.message.editing) : make("pre", { class: "lk-raw", tabindex: "0", "aria-label": "As it stands in the message" }, field.raw),
      ...(editing || !field.editable ? [] : [row(`What to do with ${field.name}`, button("Change it", { ask: "edit", index }), button("Take it out", { ask: "change", index, text: "" }, { klass: "lk-quiet" }))]),
    ];
    place.replaceChildren(...parts.filter(Boolean));
  }

  function editor({ index, name, text }) {
    const area = make("textarea", { class: "lk-input lk-editor", rows: String(clamp(text.split("\n").length + 1, 3, 14)), spellcheck: "false", "aria-label": `The text of ${name}`, "data-key": "editor" });
    area.value = draft?.index === index ? draft.text : text;
    area.addEventListener("input", () => {
      draft = { index, text: area.value };
    });
    const put = () => ask({ ask: "change", index, text: area.value });
    return make(
      "div",
      {},
      area,
      make("p", { class: "lk-soft" }, "A line end is CR LF. \\x07 is an octet that cannot be seen, \\\\ a backslash."),
      row(`Change ${name}`, makeButton("Put it in", put, { klass: "lk-main", "data-key": "put" }), button("Leave it", { ask: "close" })),
    );
  }

  // --- the way, the findings --------------------------------------------------------------------

  function way({ hops, more_hops, trust, fields: all }) {
    if (!hops.length) return null;
    const { boundary } = trust.boundaries[level];
    const rungs = hops.map((hop) =>
      make(
        "li",
        { class: `lk-rung${hop.field >= boundary ? " lk-forged" : ""}${hop.is_skewed ? " lk-skewed" : ""}` },
        make("span", { class: "lk-number" }, `${hop.number}`),
        make(
          "div",
          {},
          make("p", {}, make("span", { class: "lk-mono" }, hop.client), " → ", make("span", { class: "lk-mono" }, hop.by)),
          make("p", { class: "lk-soft" }, [hop.at, hop.how].filter(Boolean).join("; ")),
          hop.words ? make("p", { class: hop.is_skewed ? "lk-warn" : "lk-soft" }, hop.words) : null,
        ),
        make(
          "div",
          { class: "lk-delay" },
          make("span", {}, hop.delay),
          make("span", { class: "lk-bar", style: `width:${Math.round(hop.bar * 100)}%` }),
          all.some(({ index }) => index === hop.field)
            ? makeButton("its field", () => look(hop.field), { klass: "lk-chip", "data-key": `hop ${hop.number}`, "aria-label": `Look at the Received field of hop ${hop.number}` })
            : null,
        ),
      ),
    );
    return panel("The way, the oldest hop first", make("ol", { class: "lk-ladder" }, ...rungs), more_hops ? soft(more_hops) : null);
  }

  function findings({ findings: found }) {
    if (!found.length) return null;
    const items = found.map(({ weight, words, remedy, rfc, fields: indexes }) =>
      make(
        "li",
        { class: `lk-finding lk-${weight}` },
        make("b", {}, `${weight}: `),
        words,
        rfc ? make("span", { class: "lk-soft" }, ` ${rfc}`) : null,
        remedy ? make("p", { class: "lk-soft" }, remedy) : null,
        ...indexes.slice(0, 4).map((index) =>
          makeButton(`field ${index + 1}`, () => look(index), { klass: "lk-chip", "aria-label": `Look at field ${index + 1}: ${words}`, "data-key": `finding ${index} ${words}` }),
        ),
      ),
    );
    return panel("Findings", make("ul", { class: "lk-findings" }, ...items));
  }

  // --- who vouches for it -----------------------------------------------------------------------

  /* What Authentication-Results fields say: somebody's word. */
  const claimed = (claims) =>
    claims.map(({ who, words, forged }) =>
      make("p", { class: forged ? "lk-soft" : "" }, `${who} wrote: ${words}${forged ? " (a stranger could have written that)" : ""}`),
    );

  function checks({ checks: rows, octets, claims }) {
    if (!state.has_world) return panel("Who vouches for it", ...claimed(claims), soft("There is no lab to ask. dissector(message, world) checks SPF, DKIM and DMARC against its DNS."));
    const again = row("Check", button(rows ? "Check again" : "Check SPF, DKIM and DMARC now", { ask: "check" }, { klass: rows ? "" : "lk-main" }));
    if (!rows) return panel("Who vouches for it", ...claimed(claims), again);
    return panel("Who vouches for it, by the lab's DNS now", ...claimed(claims), ...rows.map(check), again, ...(octets ? [hashed(octets)] : []));
  }

  function check({ method, about, result, reason, steps, signature, why }, number) {
    const name = `${method} ${number}`;
    const fold = () => {
      if (!unfolded.delete(name)) unfolded.add(name);
      draw();
    };
    const isOpen = unfolded.has(name);
    const shows = state.message.octets?.number === signature && signature !== null;
    return make(
      "div",
      { class: "lk-check" },
      make("p", {}, make("b", {}, `${method} `), make("span", { class: `lk-result ${SAYS[result] ?? "lk-mid"}` }, result), ` ${reason}`),
      about ? make("p", { class: "lk-soft" }, about) : null,
      ...why.map((words) => make("p", {}, `What makes its hash fit again: ${words}`)),
      row(
        `More on ${method}`,
        steps.length ? makeButton(isOpen ? "Fold the steps" : `${steps.length} steps`, fold, { klass: "lk-chip", "data-key": name, "aria-expanded": String(isOpen) }) : null,
        signature === null ? null : button(shows ? "Fold the octets" : "The octets and the hashes", { ask: "octets", number: signature }, { klass: "lk-chip", "aria-expanded": String(shows) }),
      ),
      isOpen
        ? make("ul", { class: "lk-steps" }, ...steps.map(({ words, source, depth }) => make("li", { style: `margin-left:${depth * 1.2}em` }, words, make("span", { class: "lk-soft" }, source ? ` ${source}` : ""))))
        : null,
    );
  }

  function hashed({ title, parts }) {
    const shown = parts.map(({ name, octets, claimed, computed, same, known }) =>
      make(
        "div",
        {},
        make("p", { class: "lk-sub" }, name),
        make("pre", { class: "lk-raw", tabindex: "0", "aria-label": `Canonical octets of ${name}` }, octets || "(nothing)"),
        ...[claimed, computed].map(([who, hash]) => make("p", { class: "lk-hash" }, make("span", { class: "lk-soft" }, `${who}: `), make("span", { class: "lk-mono" }, hash))),
        known ? make("p", { class: same ? "lk-good-words" : "lk-warn" }, same ? "✓ The hashes are equal." : "✗ The hashes differ.") : null,
      ),
    );
    return make("div", { class: "lk-octets", role: "group", "aria-label": title }, make("p", { class: "lk-title" }, title), soft("\\r\\n is a line end (CR LF), · a blank at the end of a line, \\t a tab."), ...shown);
  }

  // --- the body, the changes --------------------------------------------------------------------

  function content({ body: shown, editing }) {
    const isOpen = editing?.index === BODY;
    return panel(
      `The body, ${shown.octets}`,
      isOpen ? editor(editing) : make("pre", { class: "lk-raw", tabindex: "0", "aria-label": "The body" }, shown.text),
      shown.note ? soft(shown.note) : null,
      isOpen ? null : row("What to do with the body", button("Change it", { ask: "edit", index: BODY }, { "aria-label": "Change the body" })),
    );
  }

  function changes({ edits, broken }) {
    if (!edits.length) return null;
    return panel(
      "What you changed, and what it broke",
      make("ol", { class: "lk-edits" }, ...edits.map((words) => make("li", {}, words))),
      make("ul", { class: "lk-broken" }, ...broken.map((words) => make("li", {}, words))),
      row("Take back", button("Undo the last", { ask: "undo" }), button("As it came", { ask: "original" }, { klass: "lk-quiet" })),
    );
  }

  // --- drawing ----------------------------------------------------------------------------------

  function draw() {
    const within = root.contains(document.activeElement);
    const focused = within ? document.activeElement.dataset.key : null;
    const pasted = body.querySelector("textarea.lk-paste")?.value ?? "";
    const { message } = state;
    const list = body.querySelector(".lk-fields");
    const scrolled = list ? list.scrollTop : 0;
    body.replaceChildren(make("p", { class: "lk-title" }, "The header dissector"), ...sources());
    if (body.querySelector("textarea.lk-paste")) body.querySelector("textarea.lk-paste").value = pasted;
    if (!message) {
      body.append(soft("No message yet: paste one, upload one, or choose one from the lab's mailboxes."));
    } else {
      const rows = message.summary.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)));
      const panels = [changes(message), fields(message), way(message), findings(message), checks(message), content(message)];
      body.append(
        make("table", { class: "lk-table", "aria-label": "The message" }, make("caption", {}, message.name), make("tbody", {}, ...rows)),
        ...panels.filter(Boolean),
      );
      body.querySelector(".lk-fields").scrollTop = scrolled;
      look(message.fields.some(({ index }) => index === looked) ? looked : 0);
    }
    if (!within) return;
    const same = focused ? [...body.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused) : null;
    (same ?? body.querySelector(".lk-fields, button")).focus({ preventScroll: true }); // else the notebook hears the keys
  }

  function heard() {
    const editing = state.message?.editing?.index;
    if (editing === undefined) draft = null;
    const was = state.message?.trust.level;
    state = model.get("state");
    const { message } = state;
    if (message?.editing?.index !== draft?.index) draft = null;
    if (message) level = wanted === null ? message.trust.level : Math.min(wanted, message.trust.levels);
    if (message?.editing && message.editing.index !== BODY) looked = message.editing.index;
    draw();
    if (message?.editing && message.editing.index !== editing) body.querySelector(".lk-editor")?.focus();
    else if (editing !== undefined && !message?.editing) body.querySelector(".lk-fields")?.focus({ preventScroll: true });
    said.textContent = was !== undefined && message && was !== message.trust.level ? message.trust.boundaries[level].words : state.said;
    settle();
    complain(model.get("problem"));
    if (wanted === message?.trust.level) wanted = null; // it has come back to where the kernel is
    if (wanted !== null) believe(wanted);
  }

  level = state.message ? state.message.trust.level : 0;
  draw();
  model.on("change:turn", heard);
  return () => {
    forget();
    model.off("change:turn", heard);
  };
}

export default { render };

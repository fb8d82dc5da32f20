/* The arena in the browser: four buttons, what one expects, and what happened.

   READS    state as views/arena.py makes it: {topologies, chosen, about, variants, variant, ends, result}; problem.
   SENDS    {ask: "topology", name}, {ask: "variant", name}, {ask: "run", expected}, {ask: "again"}; one at a time.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML.
   KEYS     everything is a button. JupyterLab must not hear plain keys pressed in here. */

const PATIENCE = 60000; // ms: a real Exim starts a process for each delivery
const WIDE = 640; // of the picture
const HIGH = 230;
const LOW = 90; // of one with two hosts in a line

function render({ model, el }) {
  let state = model.get("state");
  const { root, body, said, ask, settle, complain, forget } = panelOf(model, el, "arena", "The arena of loops", PATIENCE);

  const button = (words, message, { klass = "", pressed = null } = {}) =>
    makeButton(words, () => ask(message), {
      klass,
      "data-key": JSON.stringify(message), // finds it again, for the focus, when all is drawn anew
      "aria-pressed": pressed === null ? null : String(pressed),
    });

  function group(label, ...buttons) {
    return make("div", { class: "lk-row", role: "group", "aria-label": label }, ...buttons);
  }

  function choice() {
    const { topologies, chosen, about, variants, variant } = state;
    return [
      group(
        "Which loop",
        ...topologies.map(({ name, title }) =>
          button(title, { ask: "topology", name }, { klass: "lk-tab", pressed: name === chosen }),
        ),
      ),
      make("p", {}, about),
      group(
        "Which variant of it",
        make("span", { class: "lk-soft" }, "Variant:"),
        ...variants.map(({ name, done }) =>
          button(done ? `${name} ✓` : name, { ask: "variant", name }, { klass: "lk-chip", pressed: name === variant }),
        ),
      ),
    ];
  }

  function question() {
    return [
      make("p", { class: "lk-sub" }, "What do you expect? Choose, and it is run."),
      group(
        "What you expect",
        ...state.ends.map(({ name, words }) => button(words, { ask: "run", expected: name })),
      ),
    ];
  }

  function answer({ expected, right, end, hops, lines, why }) {
    const verdict = expected ? (right ? "As you expected: " : `You expected: ${expected}. But `) : "";
    const rows = lines.slice(0, -1).map(([name, value]) =>
      make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "lk-mono" }, value)),
    );
    return [
      make("p", { class: "lk-verdict" }, make("b", {}, `${verdict}${end}.`)),
      picture(hops),
      make("table", { class: "lk-table", "aria-label": "What happened" }, make("tbody", {}, ...rows)),
      make("p", {}, why),
      group("Once more", button("Once more", { ask: "again" })),
    ];
  }

  // --- the picture: hosts on a ring, an arrow for each way, with its count ----------------------

  function picture(hops) {
    const names = [...new Set(hops.flatMap(([from, to]) => [from, to]))];
    const places = new Map(names.map((name, number) => [name, place(number, names.length)]));
    const high = tall(names.length);
    const words = hops.map(([from, to, count]) => `${from} to ${to}: ${count}`).join("; ");
    const drawn = svg("svg", { viewBox: `0 0 ${WIDE} ${high}`, class: "lk-arena", role: "img", "aria-label": words });
    const head = svg("path", { d: "M0 0L8 4L0 8z", class: "lk-arrow-head" });
    const marker = { id: "lk-arena-head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7 };
    drawn.append(svg("defs", {}, svg("marker", { ...marker, orient: "auto" }, head)));
    const both = new Set(hops.map(([from, to]) => `${from} ${to}`));
    for (const [from, to, count] of hops) {
      const back = both.has(`${to} ${from}`);
      drawn.append(...arrow([from, places.get(from)], [to, places.get(to)], count, back));
    }
    for (const [name, [x, y]] of places) {
      const wide = 2 * half(name);
      drawn.append(
        svg("rect", { x: x - wide / 2, y: y - 14, width: wide, height: 28, rx: 6, class: "lk-arena-host" }),
        svg("text", { x, y: y + 4, "text-anchor": "middle", class: "lk-arena-name" }, name),
      );
    }
    return drawn;
  }

  const tall = (count) => (count > 2 ? HIGH : LOW);

  function place(number, count) {
    const middle = tall(count) / 2;
    if (count === 1) return [WIDE / 2, middle];
    if (count === 2) return [110 + number * (WIDE - 220), middle];
    const angle = Math.PI - (2 * Math.PI * number) / count;
    return [WIDE / 2 + (WIDE / 2 - 110) * Math.cos(angle), middle - (middle - 30) * Math.sin(angle)];
  }

  /* Half the width of a host's box. */
  const half = (name) => 3.6 * name.length + 7;

  function arrow([from, [x1, y1]], [to, [x2, y2]], count, back) {
    const [dx, dy] = [x2 - x1, y2 - y1];
    const far = Math.hypot(dx, dy) || 1;
    const bow = back ? 34 : 0; // two that go to and fro bend apart
    const [mx, my] = [(x1 + x2) / 2 - (bow * dy) / far, (y1 + y2) / 2 + (bow * dx) / far];
    const start = shorten([x1, y1], [mx, my], half(from));
    const end = shorten([x2, y2], [mx, my], half(to));
    const d = `M${start.join(" ")}Q${mx} ${my} ${end.join(" ")}`;
    const klass = back ? "lk-arrow lk-circle" : "lk-arrow";
    const aside = (13 * Math.abs(dy) + 7 * Math.abs(dx)) / far + 5; // half the number, and a gap: beside the line
    const tx = (start[0] + 2 * mx + end[0]) / 4 - (aside * dy) / far;
    const ty = (start[1] + 2 * my + end[1]) / 4 + (aside * dx) / far;
    return [
      svg("path", { d, class: klass, "marker-end": "url(#lk-arena-head)" }),
      svg("text", { x: tx, y: ty + 4, "text-anchor": "middle", class: "lk-arena-count" }, `${count}×`),
    ];
  }

  /* From the middle of a host's box towards `to`, out of the box. */
  function shorten([x, y], [tx, ty], wide) {
    const [dx, dy] = [tx - x, ty - y];
    const out = Math.min((wide + 5) / (Math.abs(dx) || 1e-9), 20 / (Math.abs(dy) || 1e-9), 1);
    return [x + dx * out, y + dy * out];
  }

  function draw() {
    state = model.get("state");
    const focused = document.activeElement?.getAttribute?.("data-key");
    const within = root.contains(document.activeElement);
    body.replaceChildren(
      make("p", { class: "lk-title" }, "The arena: does it end, and why?"),
      ...choice(),
      ...(state.result ? answer(state.result) : question()),
    );
    if (within) {
      const same = [...root.querySelectorAll("button")].find((each) => each.getAttribute("data-key") === focused);
      (same ?? root.querySelector(".lk-row:last-of-type button"))?.focus();
    }
    said.textContent = state.result ? `It was run: ${state.result.end}.` : "";
    settle();
    complain(model.get("problem"));
  }

  draw();
  model.on("change:turn", draw);
  return () => {
    forget();
    model.off("change:turn", draw);
  };
}

export default { render };

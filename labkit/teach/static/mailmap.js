/* The map of a lab's mail in the browser.

   READS    state as views/mail_map.py makes it: {title, time, nodes, mx, before, steps, messages, host, left_out}.
   SENDS    {ask: "host", host} for a host's log and configuration, {ask: "close"}; everything else happens here, with
            or without a kernel. How things stand at a step is counted from `before` and the steps up to it.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML or makes SVG from text.
   KEYS     arrows, Home and End step; hosts and messages are buttons. JupyterLab must not hear plain keys in here. */

const WIDTH = 960; // the module of the places knows it, too
const SIZES = { host: [212, 58], laptop: [190, 28], outside: [150, 30], missing: [190, 30], domain: [170, 28] };
const SHORT = { host: 30, laptop: 28, outside: 20, missing: 26, domain: 24 }; // letters that fit
const BEND = 76; // of a way between two hosts: there and back are far enough apart to see the circle
const PATIENCE = 8000; // ms until we say that the kernel does not answer
const WHOLE = 25000; // ms that playing everything should take at most
const FAST = 120; // ms of the quickest step, and
const SLOW = 900; // of the slowest
const QUIET = new Set(["completed"]); // steps that playing passes over

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/* Points from one node to another on a bow to the left of the way, so that there and back are two ways. */
function bow(from, to, bend) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const [cx, cy] = [(from.x + to.x) / 2 + (dy / length) * bend, (from.y + to.y) / 2 - (dx / length) * bend];
  const points = [];
  for (let i = 0; i <= 80; i += 1) {
    const [t, u] = [i / 80, 1 - i / 80];
    const point = { x: u * u * from.x + 2 * u * t * cx + t * t * to.x, y: u * u * from.y + 2 * u * t * cy + t * t * to.y };
    if (!inside(point, from, 3) && !inside(point, to, 5)) points.push(point);
  }
  return points;
}

function inside(point, node, margin) {
  const [width, height] = SIZES[node.kind];
  return Math.abs(point.x - node.x) < width / 2 + margin && Math.abs(point.y - node.y) < height / 2 + margin;
}

const path = (points) => points.map(({ x, y }, i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

function render({ model, el }) {
  const id = "lk" + Math.random().toString(36).slice(2);
  let state = model.get("state");
  let current = state.steps.length; // how many of the steps have happened
  let chosen = 0; // the message whose journey is on show; 0: none
  let timer = null; // set while it plays
  let frame = null; // set while something moves

  // --- the parts ------------------------------------------------------------------------------

  const title = make("p", { class: "lk-title" });
  const time = make("p", { class: "lk-soft" });
  const picture = svg("svg", {
    class: "lk-picture",
    role: "group",
    "aria-label": "The map: hosts, and the mail between them",
  });
  const button = (words, act, klass = "") => makeButton(words, act, { klass });
  const start = button("Start", () => step(0));
  const back = button("Back", () => step(current - 1));
  const next = button("Next", () => step(current + 1, true), "lk-main");
  const end = button("To the end", () => step(state.steps.length));
  const play = button("Play", () => (timer === null ? startPlaying() : stopPlaying()));
  const slider = make("input", {
    type: "range",
    min: "0",
    "aria-label": "Position in what has happened",
    input: () => step(Number(slider.value)),
  });
  const position = make("output", { "aria-hidden": "true" });
  const steps = make(
    "div",
    { class: "lk-row lk-steps", role: "group", "aria-label": "Steps" },
    start, back, next, end, play,
    make("div", { class: "lk-where" }, slider, position),
  );
  const now = make("div", { class: "lk-now", role: "status", "aria-live": "polite", "aria-atomic": "true" });
  const messages = make("div", { class: "lk-row lk-messages", role: "group", "aria-label": "Messages" });
  const journey = make("section", { class: "lk-journey", hidden: true });
  const host = make("section", { class: "lk-journey lk-of-host", hidden: true });
  const note = make("p", { class: "lk-soft" });
  const problem = make("div", { class: "lk-problem", role: "alert", hidden: true });
  const root = make(
    "section",
    { class: "labkit labkit-map", "data-labkit": "map", keydown: keep },
    make("div", { class: "lk-card" }, title, time, picture, steps, now, messages, journey, host, note, problem),
  );
  el.append(root);
  const { ask, settle, complain, forget } = kernelOf(model, problem, PATIENCE);

  // --- stepping -------------------------------------------------------------------------------

  function step(to, moves = false) {
    stopPlaying();
    go(to, moves);
  }

  function go(to, moves) {
    const before = current;
    current = clamp(to, 0, state.steps.length);
    paint();
    if (moves && current === before + 1) move(state.steps[current - 1], 450);
  }

  /* What playing shows next: not every line of the log is worth a pause. */
  function following() {
    let to = current + 1;
    while (to < state.steps.length && !isWorthAPause(state.steps[to - 1])) to += 1;
    return to;
  }

  function isWorthAPause(found) {
    if (chosen && found.message !== chosen) return false;
    return !QUIET.has(found.kind) && !(found.kind === "delivered" && found.words.startsWith("handed over") && !found.source);
  }

  function startPlaying() {
    if (current >= state.steps.length) go(0, false);
    const left = state.steps.slice(current).filter(isWorthAPause).length || 1;
    const pace = clamp(WHOLE / left, FAST, SLOW);
    const tick = () => {
      current = clamp(following(), 0, state.steps.length);
      paint();
      move(state.steps[current - 1], pace * 0.7);
      if (current >= state.steps.length) return stopPlaying();
      timer = setTimeout(tick, pace);
    };
    play.replaceChildren("Pause");
    timer = setTimeout(tick, 200);
  }

  function stopPlaying() {
    clearTimeout(timer);
    timer = null;
    play.replaceChildren("Play");
  }

  /* The envelope goes along the way of this step. */
  function move(found, takes) {
    cancelAnimationFrame(frame);
    const envelope = picture.querySelector(".lk-envelope");
    const points = found && found.source ? ways.get(`${found.source} ${found.target}`) : null;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (calm || !envelope || !points || !points.length) return;
    const begun = performance.now();
    const tick = (at) => {
      const part = clamp((at - begun) / takes, 0, 1);
      const { x, y } = points[Math.round(part * (points.length - 1))];
      envelope.setAttribute("transform", `translate(${x} ${y})`);
      if (part < 1) frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
  }

  function keep(event) {
    const to = { ArrowRight: current + 1, ArrowLeft: current - 1, Home: 0, End: state.steps.length }[event.key];
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (to !== undefined && plain && event.target !== slider && !event.target.closest("pre")) {
      event.preventDefault();
      step(to, event.key === "ArrowRight");
    }
    keepKeys(event);
  }

  // --- how things stand -----------------------------------------------------------------------

  function totals() {
    const hops = new Map();
    const waiting = new Map(Object.entries(state.before.waiting));
    const down = new Set(state.before.down);
    const add = (way, count) => hops.set(way, (hops.get(way) ?? 0) + count);
    if (!chosen) for (const [source, target, count] of state.before.hops) add(`${source} ${target}`, count);
    for (const found of state.steps.slice(0, current)) {
      if (found.source && (!chosen || found.message === chosen)) add(`${found.source} ${found.target}`, 1);
      if (found.kind === "received") waiting.set(found.host, (waiting.get(found.host) ?? 0) + 1);
      if (found.kind === "completed") waiting.set(found.host, (waiting.get(found.host) ?? 0) - 1);
      if (found.kind === "started") down.delete(found.host);
      if (found.kind === "stopped") down.add(found.host);
    }
    return { hops, waiting, down };
  }

  // --- drawing --------------------------------------------------------------------------------

  const ways = new Map(); // "source target" -> points

  function draw() {
    root.setAttribute("aria-label", state.title);
    title.textContent = state.title;
    picture.setAttribute("viewBox", `0 0 ${WIDTH} ${state.height}`);
    note.textContent = state.left_out;
    note.hidden = !state.left_out;
    drawHost();
    paint();
  }

  /* What a step changes. */
  function paint() {
    cancelAnimationFrame(frame);
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const count = state.steps.length;
    const found = state.steps[current - 1] ?? null;
    const stand = totals();
    drawPicture(found, stand);
    slider.max = String(Math.max(count, 1));
    slider.value = String(current);
    slider.setAttribute("aria-valuetext", found ? `${found.at}: ${found.words}` : "before the first step");
    position.textContent = `${current} / ${count}`;
    for (const [which, on] of [[start, current > 0], [back, current > 0], [next, current < count], [end, current < count], [play, count > 0]]) {
      which.setAttribute("aria-disabled", String(!on));
    }
    time.textContent = current === count ? state.time : found ? `${found.at} lab time (earlier)` : "before the first step";
    drawNow(found);
    drawMessages();
    drawJourney();
    if (focused) root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  function drawNow(found) {
    now.className = `lk-now${found ? ` lk-is-${found.kind}` : ""}`;
    if (!found) {
      now.replaceChildren(make("span", { class: "lk-soft" }, count0()));
      return;
    }
    const who = found.message ? `message ${found.message} at ${found.host}` : found.host;
    now.replaceChildren(
      make("div", { class: "lk-now-head" }, make("b", {}, who), make("span", { class: "lk-soft" }, found.at)),
      make("div", { class: "lk-words" }, found.words),
    );
  }

  const count0 = () => (state.steps.length ? "Nothing has happened yet: press Next or Play." : "Nothing has happened yet.");

  function drawPicture(found, { hops, waiting, down }) {
    const nodes = new Map(state.nodes.filter((node) => node.kind !== "domain").map((node) => [node.name, node]));
    const domains = new Map(state.nodes.filter((node) => node.kind === "domain").map((node) => [node.name, node]));
    const marker = (name, klass) =>
      svg(
        "marker",
        { id: `${id}-${name}`, viewBox: "0 0 10 10", refX: 8, refY: 5, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse", class: klass },
        svg("path", { d: "M0 0 10 5 0 10z" }),
      );
    const big = marker("hop", "lk-hop-head");
    big.setAttribute("markerWidth", 12);
    big.setAttribute("markerHeight", 12);
    ways.clear();
    const arrows = [];
    const labels = [];
    for (const mx of state.mx) {
      const [from, to] = [domains.get(mx.domain), nodes.get(mx.exchange)];
      if (from && to) {
        const points = bow(from, to, 0);
        if (points.length < 2) continue;
        const isAbove = [...domains.values()].some((each) => each.x === from.x && each.y > from.y && each.y < to.y);
        const middle = isAbove && from.x === to.x ? { x: from.x + 112, y: from.y } : points[Math.floor(points.length * 0.42)];
        arrows.push(svg("path", { class: "lk-mx", d: path(points), "marker-end": `url(#${id}-mx)` }));
        labels.push(label(middle.x, middle.y, `MX ${mx.preference}`, "lk-mx-label", `${mx.domain}: MX ${mx.preference} ${mx.exchange}`));
      } else if (from && mx.exchange === ".") {
        labels.push(label(from.x, from.y + 26, `MX ${mx.preference} . takes no mail`, "lk-mx-label", `${mx.domain} takes no mail`));
      }
    }
    const most = Math.max(1, ...hops.values());
    for (const [way, times] of hops) {
      const [source, target] = way.split(" ");
      const [from, to] = [nodes.get(source), nodes.get(target)];
      if (!from || !to) continue;
      const points = bow(from, to, from.kind === "host" && to.kind === "host" ? BEND : 14);
      if (points.length < 2) continue;
      ways.set(way, points);
      const isNow = found && found.source === source && found.target === target;
      const width = 1.5 + 3.5 * (times / most);
      arrows.push(
        svg("path", { class: `lk-hop${isNow ? " lk-hop-now" : ""}`, d: path(points), "stroke-width": width, "marker-end": `url(#${id}-hop)` }),
      );
      const middle = points[Math.floor(points.length / 2)];
      labels.push(label(middle.x, middle.y, `×${times}`, `lk-hop-label${isNow ? " lk-hop-now" : ""}`, `${source} to ${target}: ${times} times`));
    }
    const [here, tried] = [nodes.get(found?.host), nodes.get(found?.tried)];
    if (here && tried && here !== tried) {
      const points = bow(here, tried, BEND);
      const middle = points[Math.floor(points.length / 2)];
      if (middle) {
        arrows.push(svg("path", { class: "lk-tried", d: path(points) }));
        labels.push(label(middle.x, middle.y, "no", "lk-tried-label", `${found.host} called ${found.tried} in vain`));
      }
    }
    const boxes = state.nodes.map((node) => box(node, waiting.get(node.name) ?? 0, down.has(node.name), found));
    picture.replaceChildren(svg("defs", {}, marker("mx", "lk-mx-head"), big), ...arrows, ...boxes, ...labels, ...envelopeOf(found, nodes));
  }

  function label(x, y, text, klass, words) {
    const width = 10 + text.length * 7.2;
    return svg(
      "g",
      { class: klass, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, role: "img", "aria-label": words },
      svg("rect", { x: -width / 2, y: -9, width, height: 18, rx: 9 }),
      svg("text", { y: 4.5, "text-anchor": "middle" }, text),
    );
  }

  function box(node, waiting, isDown, found) {
    const [width, height] = SIZES[node.kind];
    const isHost = node.kind === "host";
    const shown = node.name;
    const lines = [svg("text", { class: "lk-node-name", y: isHost ? -9 : 4.5, "text-anchor": "middle" }, short(shown, SHORT[node.kind]))];
    const stands = `${isDown ? "down" : "up"}${node.silent ? ", silent" : ""}`;
    if (isHost) {
      lines.push(
        svg("text", { class: "lk-node-small", y: 10, "text-anchor": "middle" }, node.address),
        svg("text", { class: `lk-node-state${isDown || node.silent ? " lk-bad" : ""}`, y: 24, "text-anchor": "middle" }, `${stands}, ${waiting} waiting`),
      );
    }
    const attributes = {
      class: `lk-node lk-${node.kind}${isHost && isDown ? " lk-down" : ""}${found && found.host === node.name ? " lk-here" : ""}`,
      transform: `translate(${node.x} ${node.y})`,
    };
    const words = `${node.name}, ${node.address}${isHost ? `, ${stands}, ${waiting} waiting` : ""}`;
    const name = svg("title", {}, words);
    const frame = svg("rect", { x: -width / 2, y: -height / 2, width, height, rx: node.kind === "domain" ? 14 : 6 });
    if (!isHost) return svg("g", attributes, name, frame, ...lines);
    const open = () => ask({ ask: "host", host: node.name });
    return svg(
      "g",
      {
        ...attributes,
        role: "button",
        tabindex: "0",
        "data-key": `host ${node.name}`,
        "aria-label": `${words}: its log and configuration`,
        click: open,
        keydown: (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          open();
        },
      },
      name, frame, ...lines,
    );
  }

  function envelopeOf(found, nodes) {
    if (!found || !found.message) return [];
    const points = found.source ? ways.get(`${found.source} ${found.target}`) : null;
    const at = nodes.get(found.host);
    if (!points && !at) return [];
    const place = points ? points[points.length - 1] : { x: at.x + SIZES.host[0] / 2 - 8, y: at.y - SIZES.host[1] / 2 };
    return [
      svg(
        "g",
        { class: "lk-envelope", transform: `translate(${place.x} ${place.y})`, "aria-hidden": "true" },
        svg("rect", { x: -17, y: -12, width: 34, height: 24, rx: 3 }),
        svg("path", { d: "M-17 -11 0 -3 17 -11" }),
        svg("text", { y: 9.5, "text-anchor": "middle" }, String(found.message)),
      ),
    ];
  }

  function drawMessages() {
    messages.hidden = !state.messages.length;
    const chips = state.messages.map((found) => {
      const turns = found.turns > 1 ? ` loop ×${found.turns}` : "";
      const made = button(`${found.number} ${short(found.subject || found.sender, 28)}${turns}`, () => choose(found.number), "lk-chip");
      made.setAttribute("aria-pressed", String(chosen === found.number));
      made.setAttribute("aria-label", `Message ${found.number}, ${found.subject}, from ${found.sender}: ${found.ending}${turns}`);
      made.dataset.key = `message ${found.number}`;
      return made;
    });
    messages.replaceChildren(make("span", { class: "lk-soft" }, "Messages:"), ...chips);
  }

  function choose(number) {
    stopPlaying();
    chosen = chosen === number ? 0 : number;
    paint();
  }

  function drawJourney() {
    const found = state.messages.find((each) => each.number === chosen);
    journey.hidden = !found;
    if (!found) {
      journey.replaceChildren();
      return;
    }
    const words = `The journey of message ${found.number}: from ${found.sender} to ${found.recipients}, ${found.hops} hops; ${found.ending}`;
    journey.setAttribute("aria-label", words);
    const rows = state.steps.flatMap((each, index) => {
      if (each.message !== chosen) return [];
      const jump = button(each.at, () => step(index + 1), "lk-chip");
      jump.dataset.key = `step ${each.number}`;
      return [
        make(
          "tr",
          { class: index + 1 === current ? "lk-current" : "", "aria-current": index + 1 === current ? "step" : null },
          make("td", {}, jump),
          make("td", {}, each.host),
          make("td", { class: "lk-words" }, each.words),
        ),
      ];
    });
    journey.replaceChildren(
      make("p", { class: "lk-title" }, words),
      make("div", { class: "lk-scroll", tabindex: "0", role: "region", "aria-label": words }, make("table", { class: "lk-table" }, make("tbody", {}, ...rows))),
    );
  }

  function drawHost() {
    const found = state.host;
    host.hidden = !found;
    if (!found) {
      host.replaceChildren();
      return;
    }
    host.setAttribute("aria-label", `Log and configuration of ${found.host}`);
    const shut = button("Close", () => ask({ ask: "close" }));
    shut.setAttribute("aria-label", `Close ${found.host}`);
    host.replaceChildren(
      make("div", { class: "lk-row" }, make("span", { class: "lk-title" }, found.host), shut),
      make("p", { class: "lk-soft" }, "Its log"),
      make("pre", { tabindex: "0", role: "region", "aria-label": `Log of ${found.host}` }, found.log),
      make("p", { class: "lk-soft" }, "Its configuration, exim.conf"),
      make("pre", { tabindex: "0", role: "region", "aria-label": `Configuration of ${found.host}` }, found.configuration),
    );
  }

  // --- the kernel -----------------------------------------------------------------------------

  function heard() {
    settle();
    const number = state.steps[current - 1]?.number ?? 0;
    const wasAtEnd = current >= state.steps.length;
    state = model.get("state");
    if (wasAtEnd && timer === null) current = state.steps.length;
    else current = state.steps.filter((each) => each.number <= number).length;
    draw();
    complain(model.get("problem"));
  }
  model.on("change:turn", heard);
  draw();
  return () => {
    stopPlaying();
    cancelAnimationFrame(frame);
    forget();
    model.off("change:turn", heard);
  };
}

export default { render };

/* The lab's card in the browser: the table where it was shown, and a strip that stays in sight while one scrolls.

   READS    state = {title, time, running, you, short, head, rows} as views/card.py makes it.
   SENDS    nothing.
   WHERE    the strip hangs in the notebook's own panel, at its upper right, above the cells. Where there is no such
            panel (another front end) the table alone is shown.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML. */

const WIDE = 900; // px from which the notebook's toolbar has room for the strip

function table(state) {
  const cell = (text, column) => make("td", column === 1 || column === 2 ? { class: "lk-mono" } : {}, text);
  return make(
    "table",
    { class: "lk-table", "aria-label": state.title },
    make("thead", {}, make("tr", {}, ...state.head.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...state.rows.map((row) => make("tr", {}, ...row.map(cell)))),
  );
}

function render({ model, el }) {
  const root = make("div", { class: "labkit labkit-card", role: "group", "aria-label": "The card of the lab" });
  el.append(root);
  const strip = make("div", { class: "labkit labkit-strip", role: "region", "aria-label": "The lab, always in sight" });
  let open = false;
  const width = new ResizeObserver(([{ contentRect }]) => {
    strip.classList.toggle("lk-below", contentRect.width < WIDE);
  });

  const draw = () => {
    const state = model.get("state");
    const time = make("p", { class: "lk-time", role: "status" }, state.time);
    root.replaceChildren(make("p", { class: "lk-title" }, state.title), table(state), time);
    const toggle = make(
      "button",
      {
        type: "button",
        "aria-expanded": String(open),
        click: () => {
          open = !open;
          draw();
          strip.querySelector("button").focus();
        },
        keydown: (event) => event.stopPropagation(), // a key for this button is none for the cell behind it
      },
      make("span", { class: "lk-mono" }, state.you),
      make("span", {}, state.running ? state.short : "the lab is stopped"),
    );
    strip.replaceChildren(toggle, ...(open ? [table(state)] : []));
  };

  draw();
  model.on("change:state", draw);
  let waiting = requestAnimationFrame(function hang() {
    const panel = el.closest(".jp-NotebookPanel"); // not there before the cell's output is put into the page
    if (panel) {
      panel.querySelectorAll(":scope > .labkit-strip").forEach((old) => old.remove()); // of a former world
      panel.append(strip);
      width.observe(panel);
    } else if (!el.isConnected) {
      waiting = requestAnimationFrame(hang);
    }
  });
  return () => {
    cancelAnimationFrame(waiting);
    width.disconnect();
    model.off("change:state", draw);
    strip.remove();
  };
}

export default { render };

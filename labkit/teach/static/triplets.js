/* Tables that follow the lab in the browser: the greylist of a host.

   READS    state = {title, time, running, tables: [{caption, head, rows}], ending} as views/triplets.py makes it.
   SENDS    nothing.
   SAFE     text reaches the page as text nodes only; nothing here parses HTML. */

function oneTable({ caption, head, rows }) {
  return make(
    "table",
    { class: "lk-table", "aria-label": caption },
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { class: "lk-mono" }, text))))),
  );
}

function render({ model, el }) {
  const root = make("section", { class: "labkit labkit-triplets", "data-labkit": "triplets", "aria-label": "The greylist" });
  el.append(root);
  const draw = () => {
    const state = model.get("state");
    root.replaceChildren(
      make("p", { class: "lk-title" }, state.title),
      make("p", { class: "lk-time", role: "status" }, state.running ? state.time : "The lab is stopped."),
      ...state.tables.map((each) => make("div", { class: "lk-scroll", tabindex: "0", role: "group", "aria-label": each.caption }, oneTable(each))),
      ...(state.ending ? [make("p", { class: "lk-soft" }, state.ending)] : []),
    );
  };
  draw();
  model.on("change:state", draw);
  return () => model.off("change:state", draw);
}

export default { render };

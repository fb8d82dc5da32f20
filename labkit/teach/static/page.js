/* What the modules of the views share. Each stands behind this text, in the same module: nothing is imported.

   SAFE     text reaches the page as text nodes only; nothing here parses HTML. */

/* An element with attributes and children; strings become text nodes. */
function make(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function furnish(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/* A button that does nothing while it is aria-disabled: it keeps the focus. */
function makeButton(words, act, { klass = "", before = null, after = null, ...more } = {}) {
  const click = (event) => {
    if (event.currentTarget.getAttribute("aria-disabled") !== "true") act();
  };
  return make("button", { type: "button", class: klass, ...more, click }, before, words, after);
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/* Questions to the kernel, one at a time; `problem` shows what is wrong. After `patience` ms without an answer it says
   so. `asks` and `settles` are called when a question is under way, and when it is not any more. */
function kernelOf(model, problem, patience, { asks = () => {}, settles = () => {} } = {}) {
  let waiting = null;
  function complain(text) {
    problem.hidden = !text; // first, so that it is read out
    problem.textContent = text;
  }
  function settle() {
    clearTimeout(waiting);
    waiting = null;
    settles();
  }
  function ask(message) {
    if (waiting !== null) return false;
    complain("");
    try {
      model.send(message);
    } catch (trouble) {
      complain(`The kernel cannot be reached: ${trouble.message}`);
      return false;
    }
    asks();
    waiting = setTimeout(() => {
      settle();
      complain("The kernel has not answered. It may be busy with a cell, or stopped.");
    }, patience);
    return true;
  }
  return { ask, settle, complain, isAsked: () => waiting !== null, forget: () => clearTimeout(waiting) };
}


/* Keys pressed in a view are not JupyterLab's; those with Ctrl, Meta or Alt are, and Shift+Enter, which runs the cell. */
function keepKeys(event) {
  const runs = event.key === "Enter" && event.shiftKey;
  if (!event.ctrlKey && !event.metaKey && !event.altKey && !runs) event.stopPropagation();
}

/* The frame of a view that asks the kernel: a body, a line that is read out, and the place for what is wrong. */
function panelOf(model, el, kind, label, patience) {
  const problem = make("div", { class: "lk-problem", role: "alert", hidden: true });
  const said = make("p", { class: "lk-said", role: "status", "aria-live": "polite" });
  const body = make("div", {});
  const root = make(
    "section",
    { class: `labkit labkit-${kind}`, "data-labkit": kind, "aria-label": label, keydown: keepKeys },
    make("div", { class: "lk-card" }, body, said, problem),
  );
  el.append(root);
  const kernel = kernelOf(model, problem, patience, {
    asks: () => root.setAttribute("aria-busy", "true"),
    settles: () => root.removeAttribute("aria-busy"),
  });
  return { root, body, said, ...kernel };
}

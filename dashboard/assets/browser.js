// Two habits of the browser, kept as a visitor expects them.
// data: {unsaved: whether a reload would lose what was dropped or answered here}

export default function ({ data }) {
  // A question before a reload or a closed tab: the browser asks it in its own words.
  window.onbeforeunload = data.unsaved ? (event) => event.preventDefault() : null;
  if (!history.isQuiet) quieten();
}

// A page writes what is chosen on it into the address, also what nobody chose by hand. Each such line would be a step
// of the way back: only those that follow a key or a click on this page stay one.
function quieten() {
  const push = history.pushState.bind(history);
  let asked = false;
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, () => (asked = true), true);
  history.pushState = (state, title, url) => {
    const same = new URL(url ?? location.href, location.href).pathname === location.pathname;
    if (same && !asked) history.replaceState(state, title, url);
    else push(state, title, url);
    asked = false;
  };
  history.isQuiet = true;
}

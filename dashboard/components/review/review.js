/* The review screen: a wall of cells, the chosen one large, its class given by one key.
 *
 * Everything answers at once from what the browser holds; decisions are sent behind it and kept, also over a reload,
 * until the server says that it has them. What comes from the server is text and numbers: it is only ever set as text.
 */

const TILE = 96; // px of a cell on the wall, at least
const CAPTION = 20;
const GAP = 8;
const HEADING = 38;
const AROUND = 400; // px beyond the window in which tiles are kept
const POLL = 1000; // ms between two looks at what others decided
const REST = 700; // ms without a decision after which the page counts anew
const MOST_SENT = 500; // decisions in one request
const MOST_KEPT_ALIVE = 15_000; // letters of a request that outlives the page; a browser takes 64 KiB, four a letter
const MOVES = /^(Arrow|Page|Home|End)/; // keys that go on while they are held down
const CLOSING = ".st-key-cases_sign, .st-key-cases_review, .st-key-cases_reopen"; // the page's buttons
const PREFETCHED = 3; // cells ahead whose sharp picture is fetched
const KEPT_PICTURES = 60;
const KINDS = { sure: "sure", unsure: "unsure", not_a_cell: "not a cell" };
const ACTIONS = {
  confirm: ["check", "Confirm the class that stands", "Enter"],
  skip: ["skip_next", "Skip: looked at, left undecided", "S"],
  undo: ["undo", "Undo your last decision", "U"],
  zoom: ["zoom_in", "Zoom", "Z"],
  field: ["select_all", "The field: click a cell, or where one was missed", "F"],
  help: ["keyboard", "Keys: all shortcuts", "?"],
};

export default function (component) {
  const { data, parentElement } = component;
  const known = MOUNTED.get(parentElement);
  if (known && known.base === data.base) {
    known.component = component;
    known.update(data);
    return known.leave;
  }
  known?.leave();
  const review = new Review(parentElement, data);
  review.component = component;
  MOUNTED.set(parentElement, review);
  return review.leave;
}

const MOUNTED = new WeakMap();

// ------------------------------------------------------------------------------------------------ small helpers
function make(kind, options = {}, ...children) {
  const element = document.createElement(kind);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

function icon(name) {
  return make("span", { class: "icon", "aria-hidden": "true", "data-icon": name });
}

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // pages that don't come over https have no randomUUID
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function percent(share) {
  const whole = Math.round(100 * share);
  return whole >= 100 ? "> 99 %" : whole < 1 ? "< 1 %" : `${whole} %`;
}

function counted(number, word) {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

// ------------------------------------------------------------------------------------------------ what is known
/** The cells as they were taken in, what the server says of them, and this reader's decisions on top. */
class Cells {
  constructor(reader) {
    this.reader = reader;
    this.all = new Map(); // by number: what never changes
    this.server = new Map(); // by number: {code, status, by, at, skipped, withdrawn}
    this.shown = new Map(); // the same with the decisions that wait on top
    this.pictures = new Map();
    this.waiting = []; // decisions that the server hasn't acknowledged
    this.byConfidence = [];
    this.seq = 0;
    this.state = "open";
    this.undoable = []; // batches of decisions, the last one last
  }

  load(table) {
    for (const [number, name, slide, kind, width, height] of table.pictures)
      this.pictures.set(number, { number, name, slide, kind, width, height, cells: [] });
    this.codes = table.codes;
    table.number.forEach((number, k) => this.add({
      number,
      picture: table.picture[k],
      box: table.box[k],
      code: table.code[k] < 0 ? "" : table.codes[table.code[k]],
      kind: table.kind[k],
      confidence: table.confidence[k],
      second: table.second[k] < 0 ? "" : table.codes[table.second[k]],
      set: table.set[k].map((code) => table.codes[code]),
      alarm: table.alarm[k],
      score: table.score[k],
      look: table.look[k],
      text: table.text[k],
      notes: table.notes[k],
      slot: table.slot[k],
    }));
    this.rank();
  }

  add(cell) {
    if (this.all.has(cell.number)) return;
    this.all.set(cell.number, cell);
    this.pictures.get(cell.picture)?.cells.push(cell.number);
    const status = cell.look ? "unidentified" : "model";
    this.server.set(cell.number, { code: cell.code, status, by: "", at: "", skipped: false, withdrawn: false });
    this.shown.set(cell.number, this.server.get(cell.number));
  }

  rank() {
    this.byConfidence = [...this.all.values()].sort((a, b) => a.confidence - b.confidence || a.number - b.number);
  }

  /** Take in what the server says since `seq`; returns the numbers of cells that changed. */
  merge(answer) {
    if (answer.added.number.length) this.load({ ...answer.added, pictures: [], codes: this.codes });
    for (const [number, code, status, by, at, skipped, withdrawn] of answer.readings)
      this.server.set(number, { code, status, by, at, skipped, withdrawn });
    this.seq = answer.seq;
    this.state = answer.state;
    const changed = new Set(answer.readings.map((reading) => reading[0]));
    for (const number of answer.added.number) changed.add(number);
    return changed;
  }

  /** What is shown of `numbers`: the server's word, and on it what waits. */
  refresh(numbers) {
    for (const number of numbers) if (this.server.has(number)) this.shown.set(number, this.server.get(number));
    for (const decision of this.waiting) if (numbers.has(decision.cell)) this.lay(decision);
  }

  lay(decision) {
    const now = this.shown.get(decision.cell);
    if (!now) return;
    const by = { by: this.reader, at: "" };
    if (decision.action === "assign")
      this.shown.set(decision.cell, { ...now, ...by, code: decision.new, status: "reviewed", skipped: false });
    else if (decision.action === "unidentified") {
      const code = this.all.get(decision.cell).code;
      this.shown.set(decision.cell, { ...now, ...by, code, status: "unidentified", skipped: false });
    } else if (decision.action === "skip") this.shown.set(decision.cell, { ...now, skipped: true });
    else if (decision.action === "undo" && decision.before) this.shown.set(decision.cell, decision.before);
  }

  corrected(number) {
    const reading = this.shown.get(number);
    return reading.status === "reviewed" && reading.code !== this.all.get(number).code;
  }
}

// ------------------------------------------------------------------------------------------------ the server
/** Sends decisions until they are acknowledged, one request at a time, and asks what others decided. */
class Line {
  constructor(base, cells, onNews, onState) {
    Object.assign(this, { base, cells, onNews, onState, busy: false, failed: 0, gone: false, refused: [] });
    this.key = `hemalens-decisions ${base.split("/").pop().split(".")[0]}`;
  }

  url(path) {
    return `${this.base}/${path}`;
  }

  async open() {
    const [table, readings] = await Promise.all([this.get("cells"), this.get("readings?after=0")]);
    this.cells.load(table);
    this.cells.refresh(this.cells.merge(readings));
    this.cells.undoable = readings.undoable.map(([seq, cell]) => [{ cell, undoes: seq, before: null }]);
    this.restore();
    this.timer = setInterval(() => this.poll(), POLL);
  }

  async get(path) {
    const response = await fetch(this.url(path), { cache: "no-store" });
    if (!response.ok) throw new Error(`${response.status}`);
    return response.json();
  }

  /** What a page that was left didn't get through: sent now, the same ids once only. */
  restore() {
    try {
      const left = JSON.parse(localStorage.getItem(this.key) || "[]");
      const known = left.filter((decision) => this.cells.all.has(decision.cell));
      for (const decision of known) this.remember(decision);
      if (known.length) this.push(known);
    } catch {
      localStorage.removeItem(this.key);
    }
  }

  /** A decision of before is the next that is taken back; one that was taken back is no more. */
  remember(decision) {
    if (decision.action !== "undo") return this.cells.undoable.push([decision]);
    const isIt = (d) => (decision.undoes ? d.undoes === decision.undoes : d.client === decision.undoes_client);
    this.cells.undoable = this.cells.undoable.filter((batch) => !batch.some(isIt));
  }

  keep() {
    try {
      if (this.cells.waiting.length) localStorage.setItem(this.key, JSON.stringify(this.cells.waiting));
      else localStorage.removeItem(this.key);
    } catch {
      /* a full or forbidden storage: the warning on leaving stays */
    }
  }

  push(decisions) {
    this.cells.waiting.push(...decisions);
    for (const decision of decisions) this.cells.lay(decision);
    this.keep();
    this.onState();
    this.send();
  }

  async send() {
    if (this.busy || this.gone || !this.cells.waiting.length) return;
    this.busy = true;
    const decisions = this.cells.waiting.slice(0, MOST_SENT).map(({ before, ...sent }) => sent);
    const body = JSON.stringify({ after: this.cells.seq, decisions });
    try {
      const response = await fetch(this.url("decisions"), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
        keepalive: body.length < MOST_KEPT_ALIVE,
      });
      if (response.status === 404) this.gone = true; // the server was started anew: a reload asks for a new address
      if (!response.ok) throw new Error(`${response.status}`);
      const answer = await response.json();
      const done = new Set([...answer.stored, ...answer.refused.map(([client]) => client)]);
      const touched = new Set(this.cells.waiting.filter((d) => done.has(d.client)).map((d) => d.cell));
      this.cells.waiting = this.cells.waiting.filter((decision) => !done.has(decision.client));
      this.failed = 0;
      this.keep();
      this.take(answer, touched);
      if (answer.refused.length) this.onRefused?.(answer.refused);
    } catch {
      this.failed += 1;
      setTimeout(() => this.send(), Math.min(8000, 500 * 2 ** this.failed));
    } finally {
      this.busy = false;
      this.onState();
    }
    if (!this.failed && this.cells.waiting.length) this.send();
  }

  async poll() {
    if (this.busy || document.hidden || this.gone) return;
    try {
      const answer = await this.get(`readings?after=${this.cells.seq}`);
      if (!this.busy && answer.seq >= this.cells.seq) this.take(answer, new Set());
      if (this.lost) {
        this.lost = false;
        this.onState();
      }
    } catch (error) {
      if (error.message === "404") this.gone = true;
      this.lost = true;
      this.onState();
    }
  }

  take(answer, touched) {
    const before = this.cells.state;
    const changed = this.cells.merge(answer);
    for (const number of touched) changed.add(number);
    this.cells.refresh(changed);
    if (changed.size || before !== this.cells.state) this.onNews(changed);
  }

  close() {
    clearInterval(this.timer);
    if (this.cells.waiting.length) this.send();
  }
}

// ------------------------------------------------------------------------------------------------ the screen
class Review {
  constructor(root, data) {
    this.root = root;
    this.base = data.base;
    this.data = data;
    this.leave = () => {
      // Streamlit calls this on each rerun as well: only what has left the page is closed.
      setTimeout(() => {
        if (!this.frame.isConnected) this.close();
      }, 2000);
    };
    this.cells = new Cells(data.reader);
    this.line = new Line(data.base, this.cells, (changed) => this.news(changed), () => this.tellSaved());
    this.line.onRefused = (refused) => this.tellRefused(refused);
    this.chosen = new Set();
    this.current = null;
    this.order = [];
    this.groups = [];
    this.tiles = new Map();
    this.groupElements = new Map();
    this.pictures = new Map();
    this.filter = { show: "all", class: "", verdict: "", reader: "", sort: "unsure" };
    this.build();
    this.update(data);
    this.start();
  }

  async start() {
    try {
      await this.line.open();
    } catch {
      this.note("The cells can't be fetched from the server. Reload the page; if that doesn't help, start HemaLens again.");
      return;
    }
    this.frame.dataset.state = "ready";
    this.fillFilters();
    this.arrange();
    if (this.data.goto?.cells.length) this.goTo(this.data.goto.cells);
    else this.choose(this.order[0] ?? null);
    this.tellSaved();
    this.wall.focus({ preventScroll: true });
    if (this.current !== null) this.painted(this.cells.all.get(this.current), () => performance.mark("first-cells"));
    if (this.data.waits) this.announce();
    this.compared = await this.line.get("references").catch(() => null);
    if (this.current !== null && this.compared) this.showReferences(this.cells.all.get(this.current), this.cells.shown.get(this.current));
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.line.close();
    this.watch.disconnect();
    window.removeEventListener("beforeunload", this.beforeUnload);
    window.removeEventListener("click", this.beforeClosing, true);
    document.removeEventListener("keydown", this.anyKey);
    MOUNTED.delete(this.root);
  }

  /** What a rerun of the page brings: colours of the theme, cells to go to. */
  update(data) {
    const before = this.data;
    this.data = data;
    if (data.cookie)
      document.cookie = `${data.cookie}=${encodeURIComponent(data.reader)}; path=/; max-age=31536000; SameSite=Strict`;
    for (const [code, colour] of Object.entries(data.colours)) this.frame.style.setProperty(`--c-${code}`, colour);
    if (data.goto?.nonce && data.goto.nonce !== before.goto?.nonce) this.goTo(data.goto.cells);
  }

  // ---------------------------------------------------------------------------------------------- building
  build() {
    const data = this.data;
    this.saved = make("span", { class: "saved", role: "status" });
    this.count = make("span", { class: "count" });
    this.toolbar = make("div", { class: "toolbar" }, this.count);
    this.wall = make("div", {
      class: "wall",
      role: "listbox",
      tabindex: "0",
      "aria-label": "Cells of the case",
      "aria-multiselectable": "true",
    });
    this.floor = make("div", { class: "floor", role: "presentation" });
    this.wall.append(this.floor);
    this.lasso = make("div", { class: "lasso", hidden: true });
    this.notice = make("div", { class: "notice", role: "alert", hidden: true });
    this.live = make("div", { class: "unseen", "aria-live": "polite" });
    this.left = make("div", { class: "left" }, this.toolbar, this.wall);
    this.right = this.buildPanel();
    this.frame = make(
      "div",
      { class: "review", "data-state": "loading", tabindex: "-1" },
      this.notice,
      this.left,
      this.right,
      this.live,
    );
    this.buildFilters();
    this.toolbar.append(this.saved);
    this.help = this.buildHelp();
    this.frame.append(this.help);
    const place = this.root.querySelector(".place") || this.root;
    place.replaceChildren(this.frame);

    // Sizes and the scroll's place are remembered: to ask for them would have the browser lay out the page at each key.
    this.scrolled = 0;
    this.wall.addEventListener("scroll", () => {
      this.scrolled = this.wall.scrollTop;
      this.paintSoon();
    }, { passive: true });
    this.watch = new ResizeObserver(() => this.resized());
    this.watch.observe(this.wall);
    this.wall.addEventListener("pointerdown", (event) => this.pointerDown(event));
    this.wall.addEventListener("dblclick", () => this.zoom());
    this.frame.addEventListener("keydown", (event) => this.key(event));
    this.anyKey = (event) => {
      // Keys work wherever no other thing has the focus.
      if (document.activeElement === document.body && this.frame.isConnected) this.key(event);
    };
    document.addEventListener("keydown", this.anyKey);
    this.beforeUnload = (event) => {
      if (!this.cells.waiting.length) return;
      event.preventDefault();
      event.returnValue = "";
    };
    window.addEventListener("beforeunload", this.beforeUnload);
    // The case is closed by buttons of the page, which know only what has arrived.
    this.beforeClosing = (event) => {
      if (!this.cells.waiting.length || !event.target.closest?.(CLOSING)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const waiting = this.cells.waiting.length;
      this.note(`${counted(waiting, "decision")} on the way to the server: close the case once ${waiting === 1 ? "it has" : "they have"} arrived.`);
      this.frame.scrollIntoView({ block: "nearest" });
    };
    window.addEventListener("click", this.beforeClosing, true);
    this.wall.setAttribute("aria-description", `Arrow keys move, digits name the cell; press ? for all shortcuts`);
    this.classKeys = Object.fromEntries(data.classes.filter((c) => c.key).map((c) => [c.key.toLowerCase(), c.code]));
  }

  buildFilters() {
    const select = (name, label, options) => {
      const box = make("select", {
        "aria-label": label,
        title: label,
        on: {
          change: () => {
            this.filter[name] = box.value;
            this.arrange();
            this.choose(this.order.includes(this.current) ? this.current : this.order[0] ?? null);
          },
        },
      });
      box.append(...options.map(([value, text]) => make("option", { value, text })));
      this.toolbar.append(box);
      return box;
    };
    this.filters = {
      show: select("show", "Which cells to show", [
        ["all", "All cells"],
        ["open", "Still to look at"],
        ["unread", "Read by nobody"],
        ["corrected", "Corrected"],
        ["skipped", "Skipped"],
        ["withdrawn", "Taken away"],
      ]),
      class: select("class", "Class", [["", "Any class"], ...this.data.classes.map((c) => [c.code || "-", c.code || "Not a cell"])]),
      verdict: select("verdict", "What the model said", [
        ["", "Any verdict"],
        ["alarm", "May be abnormal"],
        ...Object.entries(KINDS),
      ]),
      reader: select("reader", "Who named it", [["", "Any reader"]]),
      sort: select("sort", "Order within a group", [
        ["unsure", "Least sure first"],
        ["sure", "Surest first"],
        ["number", "As taken in"],
      ]),
    };
    if (this.data.hidesModel) this.filters.verdict.hidden = true;
  }

  fillFilters() {
    const names = new Set([...this.cells.server.values()].map((reading) => reading.by).filter(Boolean));
    names.add(this.data.reader);
    const box = this.filters.reader;
    const there = new Set([...box.options].map((option) => option.value));
    for (const name of names) if (!there.has(name)) box.append(make("option", { value: name, text: name }));
    box.hidden = names.size < 2;
  }

  buildPanel() {
    const data = this.data;
    this.sprite = make("div", { class: "sprite", "aria-hidden": "true" });
    this.sharp = make("img", { class: "sharp", alt: "", draggable: "false" });
    this.stage = make("div", { class: "stage", title: "Double click or Z: zoom", on: { dblclick: () => this.zoom() } },
      this.sprite, this.sharp);
    this.references = make("div", { class: "references" });
    this.title = make("div", { class: "title" });
    this.told = make("div", { class: "told" });
    this.buttons = make("div", { class: "classes", role: "group", "aria-label": "Name the chosen cells" });
    this.classButtons = new Map();
    for (const one of data.classes) {
      const button = make(
        "button",
        {
          type: "button",
          class: "class",
          title: `${one.name}${one.key ? ` (key ${one.key})` : ""}`,
          style: `--mine: var(--c-${one.code || "none"})`,
          on: { click: () => this.assign(one.code) },
        },
        make("kbd", { text: one.key || "·" }),
        make("span", { class: "name", text: one.code || "None" }),
        make("span", { class: "number" }),
      );
      this.classButtons.set(one.code, button);
      this.buttons.append(button);
    }
    this.actions = make("div", { class: "actions", role: "group", "aria-label": "What to do" });
    this.actionButtons = {};
    for (const [action, [symbol, text, key]] of Object.entries(ACTIONS)) {
      const button = make(
        "button",
        { type: "button", title: `${text} (${key})`, "aria-label": `${text} (${key})`, on: { click: () => this.act(action) } },
        icon(symbol),
        make("span", { text: { confirm: "Confirm", skip: "Skip", undo: "Undo", zoom: "Zoom", field: "Field", help: "Keys" }[action] }),
      );
      this.actionButtons[action] = button;
      this.actions.append(button);
    }
    this.reason = make("select", { "aria-label": "Why (optional)", title: "Why: goes with your next decision" });
    this.reason.append(make("option", { value: "", text: "Why? (optional)" }));
    this.reason.append(...data.reasons.map((reason) => make("option", { value: reason, text: reason })));
    this.words = make("input", {
      type: "text",
      maxlength: "300",
      placeholder: "In your own words",
      "aria-label": "Why, in your own words (optional)",
    });
    this.why = make("div", { class: "why" }, this.reason, this.words);
    this.field = make("div", { class: "field" });
    this.fieldLine = make("div", { class: "quiet" });
    this.fieldSteps = make("div", { class: "steps", hidden: true },
      make("button", { type: "button", title: "Previous field ([)", "aria-label": "Previous field", on: { click: () => this.stepField(-1) } }, icon("chevron_left")),
      make("button", { type: "button", title: "Next field (])", "aria-label": "Next field", on: { click: () => this.stepField(1) } }, icon("chevron_right")));
    const look = make("div", { class: "look" }, this.stage, this.references);
    const does = make("div", { class: "does" }, this.title, this.told, this.buttons, this.actions, this.why);
    return make("div", { class: "right", role: "region", "aria-label": "The chosen cell" }, look, does,
      make("div", { class: "origin" }, this.field, make("div", { class: "where" }, this.fieldLine, this.fieldSteps)));
  }

  buildHelp() {
    const rows = [
      ...this.data.classes.filter((c) => c.key).map((c) => [c.key, c.name]),
      ["Enter or =", "confirm the class that stands"],
      ["S", "skip: looked at, left undecided"],
      ["U", "undo your last decision"],
      ["← → ↑ ↓", "go from cell to cell; with Shift choose them"],
      ["Home, End", "first, last cell"],
      ["Page up, down", "previous, next group"],
      ["Space", "choose the cell beside others (or drag, Ctrl or Shift and click)"],
      ["A", "choose all of the group"],
      ["Esc", "choose nothing but this cell"],
      ["Z", "zoom"],
      ["W", "say why, with your next decision"],
      ["F", "the field: arrows move a cross, Enter chooses the cell there or adds one"],
      ["[ ]", "previous, next field, also one in which no cell was found"],
      ["?", "these shortcuts"],
    ];
    const close = make("button", { type: "button", text: "Close", on: { click: () => this.help.close() } });
    const list = make("dl");
    for (const [keys, text] of rows) list.append(make("dt", {}, make("kbd", { text: keys })), make("dd", { text }));
    const dialog = make("dialog", { class: "help", "aria-label": "Shortcuts" }, make("h2", { text: "Shortcuts" }), list, close);
    dialog.addEventListener("close", () => this.wall.focus({ preventScroll: true }));
    return dialog;
  }

  // ---------------------------------------------------------------------------------------------- the order
  passes(cell, reading) {
    const { show, class: code, verdict, reader } = this.filter;
    if ((show === "withdrawn") !== reading.withdrawn) return false;
    if (show === "open" && reading.status !== "unidentified") return false;
    if (show === "unread" && reading.status === "reviewed") return false;
    if (show === "corrected" && !this.cells.corrected(cell.number)) return false;
    if (show === "skipped" && !reading.skipped) return false;
    if (code && reading.code !== (code === "-" ? "" : code)) return false;
    if (verdict === "alarm" ? !cell.alarm : verdict && cell.kind !== verdict) return false;
    return !reader || reading.by === reader;
  }

  groupOf(cell, reading) {
    if (reading.status === "unidentified" && !this.data.hidesModel) return cell.alarm ? "alarm" : "look";
    if (this.data.hidesModel && reading.status !== "reviewed") return "read";
    return reading.code ? `class ${reading.code}` : "none";
  }

  /** Deal the cells into groups: alarms and doubts first, then by class. */
  arrange() {
    const kinds = new Map([["read", []], ["alarm", []], ["look", []]]);
    for (const one of this.data.classes) if (one.code) kinds.set(`class ${one.code}`, []);
    kinds.set("none", []);
    const cells = this.cells;
    let ranked = cells.byConfidence;
    if (this.filter.sort === "sure") ranked = [...ranked].reverse();
    if (this.filter.sort === "number" || this.data.hidesModel) ranked = [...cells.all.values()];
    let open = 0, corrected = 0, total = 0;
    const tally = new Map();
    for (const cell of ranked) {
      const reading = cells.shown.get(cell.number);
      if (!reading.withdrawn) {
        total += 1;
        open += reading.status === "unidentified";
        corrected += cells.corrected(cell.number);
        if (!this.data.hidesModel || reading.status === "reviewed")
          tally.set(reading.code, (tally.get(reading.code) || 0) + 1);
      }
      if (this.passes(cell, reading)) kinds.get(this.groupOf(cell, reading))?.push(cell.number);
    }
    kinds.get("alarm").sort((a, b) => (cells.all.get(b).score || 0) - (cells.all.get(a).score || 0));
    this.groups = [...kinds].filter(([, numbers]) => numbers.length).map(([key, numbers]) => ({ key, numbers }));
    this.order = this.groups.flatMap((group) => group.numbers);
    this.place = new Map(this.order.map((number, k) => [number, k]));
    const told = [counted(total, "cell")];
    if (!this.data.hidesModel) told.push(`${open.toLocaleString("en")} to look at`, `${corrected.toLocaleString("en")} corrected`);
    if (this.order.length !== total) told.unshift(`${this.order.length.toLocaleString("en")} shown of`);
    this.count.textContent = told.join(" · ").replace("shown of · ", "shown of ");
    for (const [code, button] of this.classButtons)
      button.querySelector(".number").textContent = (tally.get(code) || 0).toLocaleString("en");
    for (const number of this.chosen) if (!this.place.has(number)) this.chosen.delete(number);
    this.layOut();
    this.paint();
  }

  headingOf(key) {
    if (key === "alarm") return "May be abnormal: look yourself";
    if (key === "look") return "Doubts: look yourself";
    if (key === "read") return "To read";
    if (key === "none") return "Not a cell";
    const code = key.slice(6);
    return `${code}  ${this.nameOf(code)}`;
  }

  nameOf(code) {
    return this.data.classes.find((one) => one.code === code)?.name ?? code;
  }

  layOut() {
    if (!this.wallWidth) this.measureWall();
    const width = this.wallWidth - 2 * GAP;
    this.columns = Math.max(2, Math.floor((width + GAP) / (TILE + GAP)));
    this.tile = Math.max(TILE, Math.floor((width + GAP) / this.columns) - GAP);
    this.wide = this.tile + GAP; // from one tile to the next
    this.high = this.tile + CAPTION + GAP;
    if (this.tile !== this.tileBefore) this.floor.style.setProperty("--tile", `${(this.tileBefore = this.tile)}px`);
    let top = 0, first = 0;
    for (const group of this.groups) {
      const rows = Math.ceil(group.numbers.length / this.columns);
      Object.assign(group, { top, first, rows, height: HEADING + rows * this.high });
      top += group.height + GAP;
      first += group.numbers.length;
    }
    if (this.height !== top) this.floor.style.height = `${Math.max((this.height = top), 60)}px`;
    this.floor.dataset.empty = this.order.length ? "" : "No cell is like that. Choose 'All cells'.";
  }

  groupAt(place) {
    return this.groups.findLast((group) => group.first <= place);
  }

  /** Left and top of a cell on the wall, by its number. */
  spot(number) {
    const place = this.place.get(number), group = this.groupAt(place), within = place - group.first;
    return {
      left: GAP + (within % this.columns) * this.wide,
      top: group.top + HEADING + Math.floor(within / this.columns) * this.high,
      group,
    };
  }

  // ---------------------------------------------------------------------------------------------- painting
  measureWall() {
    this.wallWidth = this.wall.clientWidth;
    this.wallHeight = this.wall.clientHeight;
    this.stageSide = this.stage.clientWidth;
  }

  resized() {
    this.measureWall();
    if (!this.order.length) return;
    const before = this.tile;
    this.layOut();
    this.paint();
    if (before !== this.tile) this.reveal();
  }

  paintSoon() {
    if (this.soon) return;
    this.soon = requestAnimationFrame(() => {
      this.soon = 0;
      this.paint();
    });
  }

  /** Put the tiles that can be seen on the wall, and take the others away. */
  paint() {
    const low = this.scrolled - AROUND, high = this.scrolled + this.wallHeight + AROUND;
    const wanted = new Set(), there = new Set(), step = this.high;
    for (const group of this.groups) {
      if (group.top > high || group.top + group.height < low) continue;
      there.add(this.groupElement(group));
      const from = Math.max(0, Math.floor((low - group.top - HEADING) / step)) * this.columns;
      const to = Math.min(group.numbers.length, Math.ceil((high - group.top - HEADING) / step) * this.columns);
      for (let k = from; k < to; k++) wanted.add(this.paintTile(group.numbers[k], group, k));
    }
    if (this.current !== null && this.place.has(this.current) && !wanted.has(this.current)) {
      const { group } = this.spot(this.current); // the listbox's active descendant must be there
      there.add(this.groupElement(group));
      wanted.add(this.paintTile(this.current, group, this.place.get(this.current) - group.first));
    }
    for (const [number, tile] of this.tiles)
      if (!wanted.has(number)) {
        tile.element.remove();
        this.tiles.delete(number);
      }
    for (const { element } of this.groupElements.values()) if (!there.has(element)) element.remove();
    const active = this.tiles.get(this.current);
    if (active) this.wall.setAttribute("aria-activedescendant", active.element.id);
    else this.wall.removeAttribute("aria-activedescendant");
  }

  /** The element of a group, in its place: made once for each key, as tiles that move are dear. */
  groupElement(group) {
    let known = this.groupElements.get(group.key);
    if (!known) {
      const code = group.key.startsWith("class ") ? group.key.slice(6) : "";
      const number = make("span", { class: "quiet" });
      const heading = make("div", { class: `heading is-${group.key.split(" ")[0]}`, role: "presentation" },
        code ? make("span", { class: "swatch", style: `background: var(--c-${code})` }) : null,
        group.key === "alarm" ? icon("flag") : group.key === "look" ? icon("help") : null,
        make("span", { text: this.headingOf(group.key) }),
        number);
      const element = make("div", { class: "group", role: "group", "aria-label": this.headingOf(group.key) }, heading);
      known = { element, number };
      this.groupElements.set(group.key, known);
    }
    if (known.top !== group.top) known.element.style.transform = `translateY(${(known.top = group.top)}px)`;
    if (known.height !== group.height) known.element.style.height = `${(known.height = group.height)}px`;
    if (known.count !== group.numbers.length) known.number.textContent = (known.count = group.numbers.length).toLocaleString("en");
    if (known.element.parentNode !== this.floor) this.floor.append(known.element);
    group.element = known.element;
    return known.element;
  }

  paintTile(number, group, k) {
    let tile = this.tiles.get(number);
    const cell = this.cells.all.get(number), reading = this.cells.shown.get(number);
    if (!tile) {
      const picture = make("div", { class: "picture" }), caption = make("div", { class: "caption" });
      const element = make("div", { class: "tile", role: "option", id: `cell-${number}` }, picture, caption);
      element.dataset.cell = number;
      tile = { element, picture, caption, mark: "", side: 0 };
      this.tiles.set(number, tile);
    }
    if (tile.side !== this.tile) {
      tile.side = this.tile;
      this.setSprite(tile.picture, cell, this.tile);
    }
    if (tile.element.parentNode !== group.element) group.element.append(tile.element);
    const left = GAP + (k % this.columns) * this.wide;
    const top = HEADING + Math.floor(k / this.columns) * this.high;
    if (tile.left !== left || tile.top !== top) {
      Object.assign(tile, { left, top });
      tile.element.style.transform = `translate(${left}px, ${top}px)`;
    }
    const current = number === this.current, chosen = this.chosen.has(number);
    if (tile.position !== group.first + k) tile.element.setAttribute("aria-posinset", (tile.position = group.first + k) + 1);
    if (tile.of !== this.order.length) tile.element.setAttribute("aria-setsize", (tile.of = this.order.length));
    const mark = `${current} ${chosen}`;
    if (reading !== tile.reading || mark !== tile.mark) {
      Object.assign(tile, { reading, mark });
      const corrected = this.cells.corrected(number);
      tile.element.className = `tile${current ? " current" : ""}${chosen ? " chosen" : ""}`;
      tile.element.style.setProperty("--mine", `var(--c-${reading.code || "none"})`);
      tile.element.setAttribute("aria-selected", String(chosen || current));
      const hidden = this.data.hidesModel && reading.status !== "reviewed";
      const code = hidden ? "?" : reading.code || "no cell";
      const sure = hidden || reading.status === "reviewed" || !cell.code ? "" : ` ${percent(cell.confidence)}`;
      tile.element.title = this.textOf(number);
      tile.element.setAttribute("aria-label", `${code}${sure}. ${tile.element.title}`); // begins with what is read
      const symbol = corrected ? "edit" : reading.status === "reviewed" ? "check" : cell.alarm ? "flag"
        : reading.skipped ? "skip_next" : "";
      tile.caption.replaceChildren(
        make("span", { class: "code", text: code }),
        make("span", { class: "sure", text: sure }),
        ...(symbol ? [icon(symbol)] : []),
      );
    }
    return number;
  }

  /** Show a cell's small picture at `side` px, from its sheet. */
  setSprite(element, cell, side) {
    const style = element.style, sheet = this.data.sheet;
    const within = cell.slot % (sheet.columns * sheet.columns);
    style.backgroundImage = `url("${this.sheetUrl(cell)}")`;
    style.backgroundSize = `${sheet.columns * side}px auto`;
    style.backgroundPosition = `-${(within % sheet.columns) * side}px -${Math.floor(within / sheet.columns) * side}px`;
  }

  sheetUrl(cell) {
    const { columns, fixed } = this.data.sheet, number = Math.floor(cell.slot / (columns * columns));
    // Sheets of cells that readers added grow: each has another address.
    return this.line.url(number < fixed ? `sheet/${number}` : `sheet/${number}?cells=${this.cells.all.size}`);
  }

  /** What a screen reader says of a cell. */
  textOf(number) {
    const cell = this.cells.all.get(number), reading = this.cells.shown.get(number);
    const parts = [`Cell ${number}`];
    if (cell.text && !this.data.hidesModel) parts.push(cell.text);
    if (reading.status === "reviewed") {
      const name = reading.code ? this.nameOf(reading.code) : "not a cell";
      parts.push(`${this.cells.corrected(number) ? "corrected to" : "confirmed as"} ${name} by ${reading.by}`);
    } else if (reading.status === "unidentified" && !this.data.hidesModel) parts.push("to be looked at");
    if (reading.skipped) parts.push("skipped");
    return parts.map((part) => part.replace(/\.$/, "")).join(". ") + ".";
  }

  // ---------------------------------------------------------------------------------------------- the chosen cell
  choose(number, { keep = false, from = null } = {}) {
    if (!keep) this.chosen.clear();
    this.current = number;
    this.reveal();
    this.paint();
    this.show(from);
  }

  /** Scroll the wall so that the chosen cell can be seen, with its group's heading where it is in the first row. */
  reveal() {
    if (this.current === null || !this.place.has(this.current)) return;
    const { top, group } = this.spot(this.current);
    const start = top === group.top + HEADING ? group.top : top - GAP, end = top + this.high;
    if (start < this.scrolled) this.wall.scrollTop = this.scrolled = start;
    else if (end > this.scrolled + this.wallHeight) this.wall.scrollTop = this.scrolled = end - this.wallHeight;
  }

  show(from) {
    const number = this.current, cell = this.cells.all.get(number);
    this.right.classList.toggle("nothing", !cell);
    if (!cell) {
      this.title.textContent = "";
      this.told.textContent = "";
      const field = this.fields[0];
      return field && this.showField(field);
    }
    const reading = this.cells.shown.get(number), picture = this.cells.pictures.get(cell.picture);
    this.setSprite(this.sprite, cell, this.stageSide);
    const sharp = this.fetchPicture(number);
    if (sharp.complete && sharp.naturalWidth) {
      this.sharp.src = sharp.src;
      this.sharp.hidden = false;
    } else {
      this.sharp.hidden = true;
      sharp.addEventListener("load", () => {
        if (this.current !== number) return;
        this.sharp.src = sharp.src;
        this.sharp.hidden = false;
      }, { once: true });
    }
    this.sharp.alt = this.textOf(number);
    const hidden = this.data.hidesModel;
    const shownCode = hidden && reading.status !== "reviewed" ? "" : reading.code;
    const what = hidden && reading.status !== "reviewed" ? "Which class?" : reading.code ? `${reading.code} ${this.nameOf(reading.code)}` : "Not a cell";
    const many = this.chosen.size > 1 ? counted(this.chosen.size, "cell") + " chosen" : "";
    this.title.replaceChildren(
      make("span", { class: "swatch", style: `background: var(--c-${shownCode || "none"})` }),
      make("span", { text: many || what }),
      make("span", { class: "quiet place-of", text: `${(this.place.get(number) ?? 0) + 1} of ${this.order.length}` }),
    );
    const told = [];
    if (!hidden && cell.code) {
      told.push(`Model: ${cell.code} ${percent(cell.confidence)}, ${KINDS[cell.kind]}`);
    }
    if (!hidden) told.push(...cell.notes.map((note) => note[0].toUpperCase() + note.slice(1).replace(/\.$/, "")));
    if (reading.status === "reviewed" || reading.by) told.push(`${reading.status === "reviewed" ? "Named" : "Put back"} by ${reading.by}`);
    if (reading.skipped) told.push("Skipped");
    this.told.textContent = told.join(". ") + (told.length ? "." : "");
    for (const [code, button] of this.classButtons) {
      const named = code === reading.code && !(hidden && reading.status !== "reviewed");
      button.classList.toggle("named", named);
      button.setAttribute("aria-pressed", String(named));
    }
    this.showReferences(cell, reading);
    this.showField(picture);
    this.live.textContent = this.textOf(number);
    const place = this.place.get(number) ?? 0;
    for (const next of this.order.slice(place + 1, place + 1 + PREFETCHED)) this.fetchPicture(next);
    if (from !== null) this.measure(from, cell);
  }

  /** The browser's own clock: from the key to the frame that shows the cell's picture. */
  measure(from, cell) {
    this.painted(cell, () => {
      performance.measure("key-to-picture", { start: from, end: performance.now() });
      if (performance.getEntriesByName("key-to-picture").length > 2000) performance.clearMeasures("key-to-picture");
    });
  }

  /** Call `then` when a frame with the cell's picture was drawn. */
  async painted(cell, then) {
    if (this.sharp.hidden || !this.sharp.complete) {
      const sheet = new Image();
      sheet.src = this.sheetUrl(cell);
      await sheet.decode().catch(() => {});
    }
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = then;
      channel.port2.postMessage(0);
    });
  }

  fetchPicture(number) {
    let picture = this.pictures.get(number);
    if (!picture) {
      picture = new Image();
      picture.src = this.line.url(`crop/${number}`);
      if (this.pictures.size >= KEPT_PICTURES) this.pictures.delete(this.pictures.keys().next().value);
    } else this.pictures.delete(number);
    this.pictures.set(number, picture);
    return picture;
  }

  showReferences(cell, reading) {
    const named = this.data.hidesModel && reading.status !== "reviewed" ? "" : reading.code;
    const other = this.data.hidesModel ? "" : named === cell.code ? cell.second : cell.code;
    if (!this.compared) return;
    const codes = [named, other].filter((code) => code && this.compared.codes.includes(code));
    const key = codes.join(" ");
    if (this.references.dataset.key === key) return;
    this.references.dataset.key = key;
    const { codes: all, each, url, label } = this.compared, side = 62;
    this.references.replaceChildren(...codes.map((code, k) => {
      const row = make("div", { class: "reference", title: label });
      row.append(make("div", { class: "quiet", text: k ? `or ${code}?` : `${code}, for comparison` }));
      const strip = make("div", { class: "strip", role: "img", "aria-label": `${this.nameOf(code)}: ${label}` });
      for (let n = 0; n < each; n++) {
        const one = make("div", { class: "picture" });
        one.style.backgroundImage = `url("${url}")`;
        one.style.backgroundSize = `${each * side}px auto`;
        one.style.backgroundPosition = `-${n * side}px -${all.indexOf(code) * side}px`;
        strip.append(one);
      }
      row.append(strip);
      return row;
    }));
    if (codes.length) this.references.append(make("div", { class: "quiet small", text: label }));
  }

  /** The picture that the cell lies in, with the boxes of its cells; a click adds one in a field. */
  showField(picture) {
    if (!picture) return;
    const { field } = this;
    if (field.dataset.picture !== String(picture.number)) {
      field.dataset.picture = picture.number;
      const image = make("img", { src: this.line.url(`picture/${picture.number}`), alt: `Picture ${picture.name}`, draggable: "false" });
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
      svg.setAttribute("aria-hidden", "true");
      const isField = picture.kind === "field";
      const inner = make("div", { class: "inner" }, image, svg);
      inner.style.aspectRatio = `${picture.width} / ${picture.height}`;
      inner.style.setProperty("--ratio", picture.width / picture.height);
      field.className = `field is-${picture.kind}`;
      this.frame.classList.toggle("has-field", isField);
      if (!isField) this.frame.classList.remove("in-field");
      if (isField) {
        inner.tabIndex = 0;
        inner.setAttribute("role", "application");
        inner.setAttribute("aria-label", "The field. Arrow keys move the cross, Enter chooses the cell there or adds one, Escape goes back");
        inner.title = "Click a cell to choose it; click where one was missed to add it";
        inner.addEventListener("click", (event) => {
          if (!this.frame.classList.contains("in-field")) return this.enterField();
          const rectangle = inner.getBoundingClientRect();
          this.pick(picture, ((event.clientX - rectangle.left) / rectangle.width) * picture.width,
            ((event.clientY - rectangle.top) / rectangle.height) * picture.height);
        });
        inner.addEventListener("keydown", (event) => this.fieldKey(event, picture));
      }
      field.replaceChildren(inner);
      if (this.frame.classList.contains("in-field")) inner.focus({ preventScroll: true });
      this.cross = isField ? [picture.width / 2, picture.height / 2] : null;
    }
    const isField = picture.kind === "field";
    this.drawBoxes(picture);
    this.picture = picture;
    this.tellField();
  }

  /** The fields of the case, also those in which no cell was found. */
  get fields() {
    return [...this.cells.pictures.values()].filter((picture) => picture.kind === "field");
  }

  stepField(step) {
    const fields = this.fields, k = fields.indexOf(this.picture) + step;
    if (fields[k]) this.showField(fields[k]);
  }

  tellField() {
    const { name, slide, kind } = this.picture, inField = this.frame.classList.contains("in-field");
    const how = inField ? "Click a cell to choose it, or a missed one to add it; Esc goes back" : "F shows it large";
    this.fieldLine.textContent = [name, slide ? `slide ${slide}` : "", kind === "field" ? how : ""].filter(Boolean).join(" · ");
    this.fieldLine.title = name;
    const fields = this.fields, k = fields.indexOf(this.picture);
    this.fieldSteps.hidden = fields.length < 2 || k < 0;
    this.fieldSteps.children[0].disabled = k === 0;
    this.fieldSteps.children[1].disabled = k === fields.length - 1;
  }

  drawBoxes(picture) {
    const svg = this.field.querySelector("svg");
    if (!svg) return;
    const line = Math.max(picture.width, picture.height) / 160, isField = picture.kind === "field";
    const boxes = [];
    for (const number of isField ? picture.cells : [this.current]) {
      const cell = this.cells.all.get(number), reading = this.cells.shown.get(number);
      if (!cell || reading.withdrawn) continue;
      const [left, top, right, bottom] = cell.box, current = number === this.current;
      const box = document.createElementNS(svg.namespaceURI, "rect");
      const hidden = this.data.hidesModel && reading.status !== "reviewed";
      const attributes = { x: left, y: top, width: right - left, height: bottom - top, fill: "none", rx: line,
        "vector-effect": "non-scaling-stroke", "stroke-width": current ? 4 : 2,
        "stroke-dasharray": reading.code || hidden ? "none" : "6 6" };
      for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
      box.style.stroke = current ? "var(--st-primary-color)" : `var(--c-${(!hidden && reading.code) || "none"})`;
      if (current) boxes.push(box); // drawn last, above the others
      else boxes.unshift(box);
    }
    if (this.cross && this.crossShown) {
      const [x, y] = this.cross, path = document.createElementNS(svg.namespaceURI, "path");
      const arm = 4 * line;
      path.setAttribute("d", `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`);
      path.setAttribute("vector-effect", "non-scaling-stroke");
      path.setAttribute("stroke-width", 3);
      path.style.stroke = "var(--st-primary-color)";
      boxes.push(path);
    }
    svg.replaceChildren(...boxes);
  }

  /** Show the field in the wall's place, where a cell can be pointed at. */
  enterField() {
    const inner = this.field.querySelector("[tabindex]");
    if (!inner) return this.note("This cell came as a picture of its own, not in a field.", "quietly");
    this.frame.classList.remove("zoomed");
    this.frame.classList.add("in-field");
    this.tellField();
    inner.focus({ preventScroll: true });
  }

  leaveField() {
    this.frame.classList.remove("in-field");
    this.tellField();
    this.wall.focus({ preventScroll: true });
  }

  fieldKey(event, picture) {
    const step = (event.shiftKey ? 0.005 : 0.02) * picture.width;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      this.cross = [Math.min(picture.width, Math.max(0, this.cross[0] + dx)), Math.min(picture.height, Math.max(0, this.cross[1] + dy))];
      this.crossShown = true;
      this.drawBoxes(picture);
    } else if (event.key === "Enter") this.pick(picture, ...this.cross);
    else if (event.key === "Escape" || event.key === "f") this.leaveField();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Choose the cell at a place of a field; where there is none, add one. */
  async pick(picture, x, y) {
    const hit = picture.cells.find((number) => {
      const [left, top, right, bottom] = this.cells.all.get(number).box;
      return x >= left && x <= right && y >= top && y <= bottom && !this.cells.shown.get(number).withdrawn;
    });
    if (hit !== undefined) return this.place.has(hit) ? this.choose(hit) : this.goTo([hit]);
    if (!this.mayDecide()) return;
    this.note("Adding the cell ...", "quietly");
    try {
      const body = JSON.stringify({ picture: picture.number, x: Math.round(x), y: Math.round(y), client: uuid(), after: this.cells.seq });
      const response = await fetch(this.line.url("add"), { method: "POST", headers: { "Content-Type": "application/json" }, body });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
      this.note("");
      this.line.take(answer, new Set());
      this.cells.undoable.push([{ cell: answer.cell, undoes: answer.added_seq, before: null }]);
      this.goTo([answer.cell]);
    } catch (error) {
      this.note(error.message || "The cell was not added: the server can't be reached.");
    }
  }

  // ---------------------------------------------------------------------------------------------- deciding
  get targets() {
    if (this.chosen.size) return this.order.filter((number) => this.chosen.has(number));
    return this.current === null ? [] : [this.current];
  }

  mayDecide() {
    if (this.cells.state !== "signed") return true;
    this.note("This case is signed and read-only. Amend it (below) to change it.");
    return false;
  }

  assign(code, from = null) {
    this.decide("assign", this.targets, (number) => ({ new: code }), from);
  }

  confirm(from) {
    const hidden = this.data.hidesModel;
    const named = this.targets.filter((number) => !hidden || this.cells.shown.get(number).status === "reviewed");
    this.decide("assign", named, (number) => ({ new: this.cells.shown.get(number).code }), from);
  }

  decide(action, numbers, facts, from = null) {
    if (!numbers.length || !this.mayDecide()) return;
    const next = this.nextAfter(numbers);
    const why = { reason: this.reason.value, text: this.words.value.trim() };
    const batch = numbers.map((cell) => ({
      client: uuid(), action, cell, new: "", ...why, ...facts(cell), seen: this.cells.seq, before: this.cells.shown.get(cell),
    }));
    this.reason.value = this.words.value = "";
    this.cells.undoable.push(batch);
    this.note("");
    this.line.push(batch);
    this.chosen.clear();
    this.arrange();
    this.choose(this.place.has(next) ? next : this.order[0] ?? null, { from });
  }

  /** The next cell that nobody has named, from the first of `numbers` on; where there is none, just the next one. */
  nextAfter(numbers) {
    const taken = new Set(numbers), start = Math.max(...numbers.map((number) => this.place.get(number) ?? -1));
    const unread = (number) => !taken.has(number) && this.cells.shown.get(number).status !== "reviewed"
      && !this.cells.shown.get(number).skipped;
    const after = this.order.slice(start + 1).find(unread) ?? this.order.slice(0, start + 1).find(unread);
    return after ?? this.order[start + 1] ?? numbers[0];
  }

  undo(from) {
    if (!this.mayDecide()) return;
    const batch = this.cells.undoable.pop();
    if (!batch) return this.note("There is nothing of yours to undo.", "quietly");
    const undone = [...batch].reverse().map(({ cell, client, undoes, before }) => ({
      client: uuid(), action: "undo", cell, new: "", reason: "", text: "", undoes: undoes ?? null, undoes_client: undoes ? "" : client, seen: null, before,
    }));
    this.line.push(undone);
    this.arrange();
    const first = batch[0].cell;
    this.choose(this.place.has(first) ? first : this.order[0] ?? null, { from });
  }

  act(action, from = null) {
    if (action === "confirm") this.confirm(from);
    else if (action === "skip") this.decide("skip", this.targets, () => ({}), from);
    else if (action === "undo") this.undo(from);
    else if (action === "zoom") this.zoom();
    else if (action === "field") this.frame.classList.contains("in-field") ? this.leaveField() : this.enterField();
    else if (action === "help") this.help.open ? this.help.close() : this.help.showModal();
  }

  zoom() {
    this.frame.classList.remove("in-field");
    const on = this.frame.classList.toggle("zoomed");
    this.measureWall();
    this.actionButtons.zoom.setAttribute("aria-pressed", String(on));
    this.show(null);
  }

  goTo(numbers) {
    if (!this.cells.all.size) return;
    Object.assign(this.filter, { show: "all", class: "", verdict: "", reader: "" });
    for (const [name, box] of Object.entries(this.filters)) box.value = this.filter[name];
    this.arrange();
    const there = numbers.filter((number) => this.place.has(number));
    const first = this.order.find((number) => there.includes(number));
    if (first !== undefined) this.choose(first);
    this.frame.scrollIntoView({ block: "nearest" });
    if (!this.frame.classList.contains("in-field")) this.wall.focus({ preventScroll: true });
  }

  /** Have the page below counted anew, once the hand rests. */
  announce() {
    clearTimeout(this.announcing);
    this.announcing = setTimeout(() => {
      if (this.frame.isConnected) this.component.setTriggerValue("changed", this.cells.seq);
    }, REST);
  }

  news(changed) {
    this.announce();
    this.fillFilters();
    const current = this.current, place = this.place?.get(current);
    this.arrange();
    if (current !== null && !this.place.has(current)) this.choose(this.order[Math.min(place ?? 0, this.order.length - 1)] ?? null);
    else if (changed.has(current)) this.show(null);
    this.frame.classList.toggle("signed", this.cells.state === "signed");
    for (const button of [...this.classButtons.values(), this.actionButtons.confirm, this.actionButtons.skip, this.actionButtons.undo])
      button.disabled = this.cells.state === "signed";
  }

  tellSaved() {
    const waiting = this.cells.waiting.length;
    let text = waiting ? `saving ${waiting}` : "saved", kind = waiting ? "saving" : "stored";
    if (this.line.gone) [text, kind] = [waiting ? `${waiting} not saved: reload the page` : "no connection: reload the page", "failed"];
    else if (waiting && this.line.failed) [text, kind] = [`${waiting} not saved: retrying`, "failed"];
    else if (this.line.lost) [text, kind] = ["no connection: retrying", "failed"];
    this.saved.className = `saved ${kind}`;
    this.saved.replaceChildren(icon({ stored: "cloud_done", saving: "cloud_upload", failed: "cloud_off" }[kind]), make("span", { text }));
  }

  tellRefused(refused) {
    this.cells.undoable = this.cells.undoable.filter((batch) => !batch.some((d) => refused.some(([client]) => client === d.client)));
    this.note([...new Set(refused.map(([, message]) => message))].slice(0, 3).join(" "));
  }

  note(text, how = "") {
    this.notice.hidden = !text;
    this.notice.className = `notice ${how}`;
    this.notice.replaceChildren(make("span", { text }), make("button", { type: "button", "aria-label": "Close", on: { click: () => this.note("") } }, icon("close")));
  }

  // ---------------------------------------------------------------------------------------------- keys and pointer
  key(event) {
    if (event.defaultPrevented || event.altKey || event.metaKey || this.frame.dataset.state !== "ready") return;
    const target = event.composedPath()[0];
    if (target.tagName === "INPUT" || target.tagName === "SELECT") {
      if (event.key === "Escape" || (event.key === "Enter" && target.tagName === "INPUT")) this.wall.focus({ preventScroll: true });
      return event.stopPropagation();
    }
    if (this.help.open) {
      if (event.key === "?") this.help.close();
      return;
    }
    const onButton = target.tagName === "BUTTON", from = event.timeStamp, name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (onButton && (name === "Enter" || name === " ")) return; // presses the button
    if (event.ctrlKey && name !== "a") return;
    // A key that is held down moves on; it names, confirms or takes back no second cell.
    if (event.repeat && !MOVES.test(name)) return event.preventDefault();
    const place = this.place?.get(this.current) ?? 0;
    const moves = {
      ArrowLeft: () => this.move(place - 1, event, from),
      ArrowRight: () => this.move(place + 1, event, from),
      ArrowUp: () => this.move(this.above(place), event, from),
      ArrowDown: () => this.move(this.below(place), event, from),
      Home: () => this.move(0, event, from),
      End: () => this.move(this.order.length - 1, event, from),
      PageUp: () => this.moveGroup(place, -1, from),
      PageDown: () => this.moveGroup(place, 1, from),
      " ": () => this.toggle(this.current, from),
      a: () => this.chooseGroup(place),
      Escape: () => this.escape(),
      Enter: () => this.act("confirm", from),
      "=": () => this.act("confirm", from),
      s: () => this.act("skip", from),
      u: () => this.act("undo", from),
      z: () => this.act("zoom"),
      "?": () => this.act("help"),
      w: () => this.reason.focus(),
      f: () => this.act("field"),
      "[": () => this.stepField(-1),
      "]": () => this.stepField(1),
    };
    const does = name in this.classKeys ? () => this.assign(this.classKeys[name], from) : moves[name];
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }

  above(place) {
    const group = this.groupAt(place), within = place - group.first;
    if (within >= this.columns) return place - this.columns;
    if (!group.first) return place;
    const before = this.groupAt(group.first - 1), rest = (before.rows - 1) * this.columns;
    return before.first + Math.min(before.numbers.length - 1, rest + (within % this.columns));
  }

  below(place) {
    const group = this.groupAt(place), within = place - group.first, last = group.numbers.length - 1;
    if (within + this.columns <= last) return place + this.columns;
    if (Math.floor(within / this.columns) < group.rows - 1) return group.first + last;
    const next = this.groups[this.groups.indexOf(group) + 1];
    return next ? next.first + Math.min(within % this.columns, next.numbers.length - 1) : place;
  }

  move(place, event, from) {
    if (!this.order.length) return;
    const to = this.order[Math.min(this.order.length - 1, Math.max(0, place))];
    if (event.shiftKey) {
      this.chosen.add(this.current);
      this.chosen.add(to);
      return this.choose(to, { keep: true, from });
    }
    this.choose(to, { keep: this.chosen.size > 0, from });
  }

  moveGroup(place, step, from) {
    const k = this.groups.indexOf(this.groupAt(place)) + step;
    const group = this.groups[Math.min(this.groups.length - 1, Math.max(0, k))];
    if (group) this.choose(group.numbers[0], { from });
  }

  toggle(number, from = null) {
    if (number === null) return;
    if (!this.chosen.delete(number)) this.chosen.add(number);
    this.choose(number, { keep: true, from });
  }

  chooseGroup(place) {
    const group = this.groupAt(place);
    if (!group) return;
    for (const number of group.numbers) this.chosen.add(number);
    this.choose(this.current, { keep: true });
  }

  escape() {
    if (this.frame.classList.contains("zoomed")) return this.zoom();
    if (this.frame.classList.contains("in-field")) return this.leaveField();
    this.choose(this.current);
  }

  pointerDown(event) {
    if (event.button !== 0) return;
    const start = this.onFloor(event), tile = event.target.closest?.(".tile");
    if (start.x > this.floor.clientWidth) return; // the scroll bar
    const from = event.timeStamp;
    const kept = event.ctrlKey || event.metaKey || event.shiftKey ? new Set(this.chosen) : new Set();
    let dragged = false;
    const move = (moved) => {
      const now = this.onFloor(moved);
      if (!dragged && Math.hypot(now.x - start.x, now.y - start.y) < 8) return;
      dragged = true;
      moved.preventDefault();
      const edge = this.wall.getBoundingClientRect();
      if (moved.clientY > edge.bottom - 24) this.wall.scrollTop += 16;
      if (moved.clientY < edge.top + 24) this.wall.scrollTop -= 16;
      const box = { left: Math.min(start.x, now.x), right: Math.max(start.x, now.x), top: Math.min(start.y, now.y), bottom: Math.max(start.y, now.y) };
      Object.assign(this.lasso.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.right - box.left}px`, height: `${box.bottom - box.top}px` });
      this.lasso.hidden = false;
      if (this.lasso.parentNode !== this.wall) this.wall.append(this.lasso);
      this.chosen = new Set([...kept, ...this.within(box)]);
      this.paint();
    };
    const up = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      this.lasso.hidden = true;
      if (dragged) {
        const first = this.order.find((number) => this.chosen.has(number));
        if (first !== undefined) this.choose(first, { keep: true });
      } else if (tile) this.clicked(Number(tile.dataset.cell), event, from);
      this.wall.focus({ preventScroll: true });
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
  }

  clicked(number, event, from) {
    if (event.ctrlKey || event.metaKey) return this.toggle(number, from);
    if (event.shiftKey && this.place.has(this.current)) {
      const [low, high] = [this.place.get(this.current), this.place.get(number)].sort((a, b) => a - b);
      for (const one of this.order.slice(low, high + 1)) this.chosen.add(one);
      return this.choose(number, { keep: true, from });
    }
    this.choose(number, { from });
  }

  onFloor(event) {
    const rectangle = this.floor.getBoundingClientRect();
    return { x: event.clientX - rectangle.left, y: event.clientY - rectangle.top };
  }

  /** Numbers of the cells that a rectangle on the wall touches. */
  within(box) {
    const step = this.high, found = [];
    for (const group of this.groups) {
      if (group.top > box.bottom || group.top + group.height < box.top) continue;
      const low = Math.max(0, Math.floor((box.top - group.top - HEADING) / step)), high = Math.floor((box.bottom - group.top - HEADING) / step);
      const left = Math.max(0, Math.floor((box.left - GAP) / this.wide)), right = Math.min(this.columns - 1, Math.floor((box.right - GAP) / this.wide));
      for (let row = low; row <= high; row++)
        for (let column = left; column <= right; column++) {
          const number = group.numbers[row * this.columns + column];
          if (number !== undefined) found.push(number);
        }
    }
    return found;
  }
}

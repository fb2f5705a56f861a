"use strict";
// Draws the data of the page. What programs wrote goes in as text only, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const text = (number) => data.strings[number];

const VIEWS = [["rate", "Rate"], ["path", "Path"], ["ms", "Milliseconds"]];
const KINDS = [["path", "By path"], ["winner", "By winner"]];
const PATHS = [["direct", "direct"], ["relay", "relay"], ["failed", "failed"], ["errors", "error"]];
// Colours --curve-1 and so on; where they begin again the dashes differ.
const LINES = 7;
const DASHES = ["", "9 4", "2 4", "12 4 2 4", "5 3"];

// What is shown, and what the address after # says, so that a view can be linked to.
const state = { group: "0", view: "rate", kind: "path", a: "", b: "", trial: "", theme: "" };

// ---- small helpers ----------------------------------------------------------------------------

/** An element with attributes (`on...`: listeners) and children (elements or text). */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== ""));
  return element;
}

/** A spelled-out NAT may be broken after its commas. */
const breakable = (name) => name.split(/(?<=,)/).map((part) => [part, make("wbr")]);

const group = () => data.groups[Number(state.group)] || data.groups[0];
const findCell = (a, b) => group().cells.find((cell) => cell.a === a && cell.b === b);
const ms = (value) => (value === null ? "–" : value > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0));
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function readAddress() {
  for (const [key, value] of new URLSearchParams(location.hash.slice(1)))
    if (key in state) state[key] = value;
}

function writeAddress() {
  const told = Object.entries(state).filter(([, value]) => value);
  history.replaceState(null, "", "#" + new URLSearchParams(told));
}

// ---- colours ----------------------------------------------------------------------------------

const channels = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(" ").map(Number);
const mix = (from, to, share) => from.map((value, i) => Math.round(value + (to[i] - value) * share));

function luminance(rgb) {
  const [r, g, b] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** A background, and black or white on it, whichever is read better. */
function paint(rgb) {
  const light = luminance(rgb);
  const ink = (light + 0.05) / 0.05 > 1.05 / (light + 0.05) ? "#0b0d11" : "#ffffff";
  return `background: rgb(${rgb.join(" ")}); color: ${ink}`;
}

function rateColour(share) {
  const middle = channels("--middle");
  return share < 0.5 ? mix(channels("--bad"), middle, share * 2)
    : mix(middle, channels("--good"), share * 2 - 1);
}

function range(cells) {
  const values = cells.map((cell) => cell.median).filter((value) => value !== null);
  if (!values.length) return [1, 2];
  const low = Math.min(...values);
  return [low, Math.max(...values, 2 * low)]; // small differences stay small
}

/** 0 to 1 on a logarithmic scale. */
function position(value, [low, high]) {
  return high > low ? Math.log(Math.max(value, 0.1) / Math.max(low, 0.1)) /
    Math.log(high / Math.max(low, 0.1)) : 0;
}

const timeColour = (value, limits) =>
  mix(channels("--quick"), channels("--slow"), position(value, limits));

// ---- the head ---------------------------------------------------------------------------------

function showHead() {
  byId("about").replaceChildren(...group().about.map(([key, value]) =>
    make("div", {}, make("dt", {}, key), make("dd", {}, value))));
  const dark = document.documentElement.classList.contains("dark");
  byId("theme").textContent = dark ? "Light" : "Dark";
}

function strip(sample) {
  return make("div", { class: "strip", "aria-hidden": "true" },
    PATHS.filter(([key]) => sample[key]).map(([key]) =>
      make("i", { class: key, style: `flex: ${sample[key]}` })));
}

const keys = (sample) => PATHS.filter(([key]) => !sample || sample[key]).map(([key, word]) =>
  make("span", { class: "key" }, make("i", { class: key }),
    sample ? `${sample[key]} ${word}${key === "errors" && sample[key] > 1 ? "s" : ""}` : word));

function showOverall() {
  const all = group().overall;
  const figure = (value, words) => make("div", { class: "figure" }, make("b", {}, value),
    make("span", {}, words));
  byId("overall").replaceChildren(
    figure(all.percent, `of ${plural(all.trials, "trial")} connected (95 %: ${all.interval})`),
    figure(ms(all.median) + " ms", "median to connect"),
    figure(ms(all.p90) + " ms", "p90"),
    ...(group().lookup === null ? [] : [figure(ms(group().lookup) + " ms", "median look-up")]),
    make("div", { class: "outcomes" }, strip(all), make("div", {}, keys(all))));
  byId("compared").replaceChildren(...(data.groups.length > 1 ? [comparison()] : []));
}

function figures(head, rows, words) {
  const cells = (row, kind) => row.map((value, i) =>
    make(kind, { class: words.includes(i) ? "words" : null, scope: kind === "th" ? "col" : null },
      value));
  return make("table", { class: "figures" }, make("thead", {}, make("tr", {}, cells(head, "th"))),
    make("tbody", {}, rows.map((row) =>
      make("tr", { class: row.chosen ? "chosen" : null }, cells(row.cells, "td")))));
}

function comparison() {
  return figures(["runs", "trials", "connected", "95 % interval", "direct", "relay", "failed",
    "errors", "median ms", "p90 ms"], data.groups.map((one) => {
    const all = one.overall;
    return { chosen: one === group(), cells: [one.name, all.trials, all.percent, all.interval,
      all.direct, all.relay, all.failed, all.errors, ms(all.median), ms(all.p90)].map(String) };
  }), [0]);
}

// ---- the heat map -----------------------------------------------------------------------------

function pathWord(cell) {
  if (!cell.connected) return cell.errors && !cell.failed ? "error" : "failed";
  if (cell.direct === cell.trials) return "direct";
  return cell.relay === cell.trials ? "relay" : "mixed";
}

function cellFace(cell, limits) {
  const interval = cell.interval.replace("%", "").split("-").map((end) => Math.round(end)).join("–");
  const winner = cell.winners.length ? cell.winners[0][0] : "";
  if (state.view === "rate")
    return [paint(rateColour(cell.share)), cell.percent, interval];
  if (state.view === "path") {
    const tints = { direct: "--direct", relay: "--relay" };
    const share = `color-mix(in srgb, var(${tints[pathWord(cell)] || "--failed"}) 24%, var(--back))`;
    return [`background: ${share}; color: var(--text)`, pathWord(cell), winner];
  }
  if (cell.median === null) return ["", "–", pathWord(cell)];
  return [paint(timeColour(cell.median, limits)), ms(cell.median), `p90 ${ms(cell.p90)}`];
}

function cellButton(cell, limits) {
  const [style, value, more] = cellFace(cell, limits);
  const said = `${cell.a} to ${cell.b}: ${cell.connected} of ${cell.trials} connected, ` +
    (cell.connected ? `${pathWord(cell)}, median ${ms(cell.median)} milliseconds` : pathWord(cell));
  return make("button", {
    type: "button", style, tabindex: "-1", "aria-label": said, title: said,
    "aria-pressed": String(cell.a === state.a && cell.b === state.b),
    "data-a": cell.a, "data-b": cell.b, onclick: () => choose(cell.a, cell.b),
  }, make("b", {}, value), make("span", {}, more), state.view === "path" ? strip(cell) : null);
}

function showMatrix() {
  const one = group();
  const limits = range(one.cells);
  const found = new Map(one.cells.map((cell) => [JSON.stringify([cell.a, cell.b]), cell]));
  const rows = one.a.map((a) => make("tr", {}, make("th", { scope: "row" }, breakable(a)), one.b.map((b) => {
    const cell = found.get(JSON.stringify([a, b]));
    return make("td", {}, cell ? cellButton(cell, limits)
      : make("div", { class: "none", title: "no trials" }));
  })));
  const head = make("tr", {}, make("th", {}, "a \\ b"), one.b.map((b) => make("th", { scope: "col" }, breakable(b))));
  byId("matrix").replaceChildren(make("table", { class: one.b.length > 7 ? "heat many" : "heat" },
    make("thead", {}, head), make("tbody", { onkeydown: moveFocus }, rows)));
  const first = byId("matrix").querySelector("[aria-pressed=true], button");
  const pressed = byId("matrix").querySelector("[aria-pressed=true]") || first;
  if (pressed) pressed.tabIndex = 0;
  showLegend(limits);
}

function showLegend(limits) {
  const scale = (colour) => make("span", { class: "scale", style: "background: linear-gradient(90deg, " +
    Array.from({ length: 9 }, (_, i) => `rgb(${colour(i / 8).join(" ")})`).join(", ") + ")" });
  const views = {
    rate: () => ["connected 0 %", scale(rateColour), "100 %; below it the 95 % Wilson interval"],
    path: () => [...keys(null), "the stripe shows their shares, the word below who won most often"],
    ms: () => [`${ms(limits[0])} ms`, scale((share) => mix(channels("--quick"), channels("--slow"), share)),
      `${ms(limits[1])} ms, logarithmic; medians of connected trials`],
  };
  byId("legend").replaceChildren(...views[state.view]());
}

/** Arrow keys, Home and End move between cells; only one of them is a stop of the tab key. */
function moveFocus(event) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
    Home: [0, -1e6], End: [0, 1e6] };
  const step = steps[event.key];
  const from = event.target.closest("button");
  if (!step || !from) return;
  event.preventDefault();
  const one = group();
  const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
  let a = one.a.indexOf(from.dataset.a), b = one.b.indexOf(from.dataset.b);
  for (let tries = one.a.length + one.b.length; tries; tries--) { // over pairs without trials
    const [nextA, nextB] = [clamp(a + step[0], one.a.length), clamp(b + step[1], one.b.length)];
    if (nextA === a && nextB === b) return;
    [a, b] = [nextA, nextB];
    const to = buttonOf(one.a[a], one.b[b]);
    if (!to) continue;
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
    return;
  }
}

const buttonOf = (a, b) => [...byId("matrix").querySelectorAll("button")]
  .find((button) => button.dataset.a === a && button.dataset.b === b);

function choose(a, b) {
  Object.assign(state, { a, b, trial: "" });
  showMatrix();
  showCell();
  const button = buttonOf(a, b);
  if (button) button.focus({ preventScroll: true });
  if (innerWidth < 1180) byId("cell").scrollIntoView({ block: "nearest" });
  writeAddress();
}

// ---- one cell ---------------------------------------------------------------------------------

function showCell() {
  const cell = findCell(state.a, state.b);
  if (!cell) {
    byId("cell").replaceChildren(make("h2", { id: "cell-title" }, "Trials"),
      make("p", { class: "sub" }, "Choose a pair: its trials are shown here, with what each end tried."));
    return;
  }
  const hidden = cell.trials - cell.told.length;
  const won = cell.winners.map(([name, count]) => `${name} ${count}`).join(", ");
  byId("cell").replaceChildren(
    make("h2", { id: "cell-title" }, `${cell.a} → ${cell.b}`),
    make("p", { class: "sub" },
      `${cell.connected} of ${cell.trials} connected (${cell.percent}, ${cell.interval})`,
      cell.connected ? ` · median ${ms(cell.median)} ms, p90 ${ms(cell.p90)} ms · won: ${won}` : ""),
    ...(cell.dots.length > 1 ? [dots(cell)] : []),
    ...(hidden ? [make("p", { class: "hint" }, `${cell.told.length} trials are told here, those that ` +
      `did not connect first; ${hidden} more are in trials.jsonl.`)] : []),
    make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "trials" },
      cell.told.map((trial, i) => trialDetails(trial,
        state.trial ? String(trial.trial) === state.trial : i === worst(cell.told)))));
}

/** The trial that is open at first: the first that did not connect, or the slowest. */
function worst(trials) {
  const bad = trials.findIndex((trial) => trial.outcome !== "connected");
  return bad >= 0 ? bad : trials.reduce((best, trial, i) => (trial.ms > trials[best].ms ? i : best), 0);
}

/** The milliseconds of each trial as a dot. */
function dots(cell) {
  const ticks = niceTicks(0, Math.max(...cell.dots.map(([, value]) => value)), 5);
  const most = ticks[ticks.length - 1];
  const x = (value) => 10 + (value / most) * 480;
  return draw("svg", { class: "dots", viewBox: "0 0 500 58", role: "img",
    "aria-label": `milliseconds of ${plural(cell.dots.length, "trial")}` },
  ticks.map((tick) => [draw("line", { x1: x(tick), x2: x(tick), y1: 6, y2: 38, stroke: "var(--line)" }),
    draw("text", { x: x(tick), y: 53, "text-anchor": "middle" }, tick === most ? `${tick} ms` : String(tick))]),
  cell.dots.map(([trial, value, relay], i) => draw("circle", { cx: x(value), cy: 12 + (i * 7) % 22, r: 4,
    fill: relay ? "var(--relay)" : "var(--direct)", "fill-opacity": .7 },
  draw("title", {}, `trial ${trial}: ${ms(value)} ms`))));
}

function trialDetails(trial, open) {
  const good = trial.outcome === "connected";
  const packets = trial.packets && trial.packets.every((count) => count !== null)
    ? `packets sent: ${trial.packets[0]} by a, ${trial.packets[1]} by b` : "";
  const facts = [trial.way, trial.lookup === null ? "" : `look-up ${ms(trial.lookup)} ms`, packets];
  const details = make("details", { open },
    make("summary", { onclick: () => remember(details, trial) }, `trial ${trial.trial}`,
      make("span", { class: good ? "badge" : "badge no" }, good ? trial.winner || "?" : trial.outcome),
      make("span", { class: "soft" }, trial.path),
      make("span", { class: "ms" }, trial.ms === null ? "" : `${ms(trial.ms)} ms`)),
    make("div", {},
      good ? "" : make("p", {}, text(trial.reason) || "no reason was told"),
      make("p", { class: "hint" }, facts.filter(Boolean).join(" · ")),
      trial.attempts.map((attempts, side) => endOf(trial, attempts, side)),
      (trial.logs || []).map((log, side) => log && [make("h3", {}, `last words of ${"ab"[side]}`),
        make("pre", {}, log)]),
      make("h3", {}, "To make this trial again"), make("code", {}, text(trial.replay))));
  return details;
}

/** A click opens what is closed. */
function remember(details, trial) {
  state.trial = details.open ? "" : String(trial.trial);
  writeAddress();
}

/** What one end tried, with bars on the time scale of the trial. */
function endOf(trial, attempts, side) {
  const ends = trial.attempts.flat().map(([, , , , start, took]) => (start || 0) + (took || 0));
  const most = Math.max(1, trial.ms || 0, ...ends);
  return [make("h3", {}, side ? "b, which listens" : "a, which connects"),
    attempts.length ? attempts.map((attempt) => attemptLine(attempt, most))
      : make("p", { class: "hint" }, "reported no attempts")];
}

function attemptLine([name, status, way, detail, start, took], most) {
  const idle = start === null, won = text(status) === "ok";
  const mark = won ? "✓ " : idle || text(status) === "canceled" ? "" : "✕ ";
  const times = idle ? "" : `${ms(start)}–${ms(start + (took || 0))} ms`;
  return make("div", { class: `attempt${idle ? " idle" : ""}${won ? " won" : ""}` },
    make("div", { class: "head" }, make("b", {}, text(name)), make("span", { class: "soft" }, text(way)),
      make("span", { class: "status" }, mark + text(status)), make("span", { class: "soft" }, times)),
    idle ? "" : make("div", { class: "track", "aria-hidden": "true" }, make("i", {
      style: `left: ${(start / most) * 100}%; width: ${((took || 0) / most) * 100}%` })),
    make("div", { class: "detail" }, text(detail)));
}

// ---- time to connect --------------------------------------------------------------------------

/** Round numbers from at or below `low` to at or above `high`. */
function niceTicks(low, high, about) {
  const rough = Math.max(high - low, 1e-3) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const ticks = [];
  for (let i = Math.floor(low / step); ticks.length < 50; i++) {
    ticks.push(Number((i * step).toPrecision(12)));
    if (i * step >= high) break;
  }
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high * 10; power *= 10)
    for (const factor of [1, 2, 5]) ticks.push(Number((factor * power).toPrecision(3)));
  const from = ticks.findLastIndex((tick) => tick <= low);
  return ticks.slice(from, ticks.findIndex((tick) => tick >= high) + 1);
}

const shareAt = (points, value) => {
  let share = 0;
  for (const [x, upTo] of points) if (x <= value) share = upTo;
  return share;
};

/** How milliseconds lie on the plot: logarithmic where they span much. */
function timeAxis(curves, left, right) {
  const values = curves.flatMap((curve) => curve.points.map(([x]) => Math.max(x, 0.1)));
  const low = Math.min(...values), high = Math.max(...values);
  const logarithmic = high / low > 12;
  const ticks = logarithmic ? logTicks(low, high) : niceTicks(0, high, 8);
  const [first, last] = [ticks[0], ticks[ticks.length - 1]];
  const share = logarithmic ? (value) => Math.log(Math.max(value, first) / first) / Math.log(last / first)
    : (value) => (value - first) / (last - first);
  const back = logarithmic ? (part) => first * (last / first) ** part : (part) => first + part * (last - first);
  return { ticks, back, x: (value) => left + share(value) * (right - left) };
}

function showCurves() {
  const curves = group().curves.filter((curve) => curve.kind === state.kind);
  if (!curves.length) {
    byId("curves").replaceChildren(make("p", { class: "hint" }, "Nothing connected."));
    return;
  }
  const [left, right, top, bottom] = [48, 700, 12, 290];
  const axis = timeAxis(curves, left, right);
  const y = (share) => bottom - share * (bottom - top);
  const look = (i) => ({ stroke: `var(--curve-${1 + i % LINES})`, "stroke-dasharray": DASHES[i % DASHES.length] });
  const svg = draw("svg", { class: "plot", viewBox: "0 0 760 334", role: "img",
    "aria-label": "empirical distribution of the milliseconds to connect" },
  [0, .25, .5, .75, 1].map((share) => [
    draw("line", { class: "grid", x1: left, x2: right, y1: y(share), y2: y(share) }),
    draw("text", { x: left - 8, y: y(share) + 4, "text-anchor": "end" }, `${share * 100} %`)]),
  axis.ticks.map((tick) => [
    draw("line", { class: "grid", x1: axis.x(tick), x2: axis.x(tick), y1: bottom, y2: bottom + 5 }),
    draw("text", { x: axis.x(tick), y: bottom + 20, "text-anchor": "middle" }, String(tick))]),
  draw("text", { x: right, y: bottom + 38, "text-anchor": "end" }, "milliseconds to connect"),
  curves.map((curve, i) => draw("path", { class: "curve", ...look(i), d: steps(curve.points, axis, y, right) })));
  const cursor = draw("line", { class: "cursor", y1: top, y2: bottom });
  svg.append(cursor);
  const reading = make("div", { id: "reading" });
  const slider = make("input", { type: "range", min: 0, max: 1000, value: 500,
    "aria-label": "milliseconds to read the curves at" });
  const read = () => {
    const value = axis.back(slider.value / 1000);
    cursor.setAttribute("x1", axis.x(value));
    cursor.setAttribute("x2", axis.x(value));
    slider.setAttribute("aria-valuetext", `${ms(value)} milliseconds`);
    reading.replaceChildren("after ", make("b", {}, `${ms(value)} ms`), ": ", ...curves.map((curve, i) =>
      make("span", { class: "key" }, swatch(look(i)), `${curve.name} `,
        make("b", {}, `${Math.round(shareAt(curve.points, value) * 100)} %`), ` of ${curve.count}`)));
  };
  slider.addEventListener("input", read);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const part = ((event.clientX - box.left) / box.width * 760 - left) / (right - left);
    slider.value = Math.max(0, Math.min(1, part)) * 1000;
    read();
  });
  byId("curves").replaceChildren(svg, slider, reading);
  read();
}

const swatch = (look) => draw("svg", { width: 34, height: 10, "aria-hidden": "true" },
  draw("line", { x1: 1, x2: 33, y1: 5, y2: 5, "stroke-width": 3, ...look }));

function steps(points, axis, y, right) {
  let d = `M${axis.x(points[0][0]).toFixed(1)} ${y(0)}`;
  for (const [value, share] of points) d += `H${axis.x(value).toFixed(1)}V${y(share).toFixed(1)}`;
  return d + `H${right}`;
}

function showWinners() {
  const connected = group().overall.connected;
  byId("winners").replaceChildren(make("h3", {}, "Winners"), connected
    ? figures(["technique", "path", "won", "share", "median ms", "p90 ms"], group().winners.map((winner) => ({
      cells: [winner.name, winner.path, String(winner.won), `${Math.round(100 * winner.won / connected)} %`,
        ms(winner.median), ms(winner.p90)] })), [0, 1])
    : make("p", { class: "hint" }, "None."));
}

// ---- reasons ----------------------------------------------------------------------------------

function showReasons() {
  byId("reasons-section").hidden = !group().reasons.length;
  byId("reasons").replaceChildren(...group().reasons.map((reason) =>
    make("div", { class: reason.outcome === "error" ? "reason of-error" : "reason" },
      make("p", {}, make("b", {}, `${reason.trials} ${reason.outcome}: `), reason.text),
      make("div", { class: "pairs" }, reason.pairs.map(([a, b, count]) => make("button", {
        type: "button", onclick: () => { choose(a, b); byId("matrix-section").scrollIntoView(); },
      }, `${a} → ${b}${count > 1 ? ` (${count})` : ""}`))),
      make("ul", {}, reason.complaints.map(([said, count]) => make("li", {},
        make("i", { style: `width: ${100 * count / reason.trials}%`, "aria-hidden": "true" }),
        make("span", {}, `${count} ×`), make("span", {}, said)))))));
}

// ---- all of it --------------------------------------------------------------------------------

function choices(id, name, all) {
  byId(id).append(...all.map(([value, word]) => make("label", {}, make("input", {
    type: "radio", name, value, onchange: () => { state[name] = value; show(); writeAddress(); },
  }), word)));
}

function show() {
  for (const name of ["view", "kind"]) {
    const input = document.querySelector(`input[name=${name}][value=${CSS.escape(state[name])}]`);
    if (input) input.checked = true;
  }
  for (const part of [showHead, showOverall, showMatrix, showCell, showCurves, showWinners, showReasons])
    part();
}

function setTheme() {
  const dark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.classList.toggle("dark", dark);
}

function start() {
  readAddress();
  if (!VIEWS.some(([value]) => value === state.view)) state.view = "rate";
  if (!KINDS.some(([value]) => value === state.kind)) state.kind = "path";
  choices("views", "view", VIEWS);
  choices("kinds", "kind", KINDS);
  if (data.groups.length > 1) {
    byId("group-choice").hidden = false;
    byId("group").append(...data.groups.map((one, i) => make("option", { value: i }, one.name)));
    byId("group").value = String(data.groups.indexOf(group()));
    byId("group").addEventListener("change", () => {
      state.group = byId("group").value;
      show();
      writeAddress();
    });
  }
  byId("problems").hidden = !data.problems.length;
  byId("problems").append(...data.problems.map((line) => make("li", {}, line)));
  byId("theme").addEventListener("click", () => {
    state.theme = document.documentElement.classList.contains("dark") ? "light" : "dark";
    setTheme();
    show();
    writeAddress();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { setTheme(); show(); });
  setTheme();
  byId("page").hidden = false;
  show();
}

start();

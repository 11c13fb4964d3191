"use strict";

// Elements and numbers. Text from the document becomes text nodes, here and nowhere else.

const SVG = "http://www.w3.org/2000/svg";
const UNITS = {
  flops: { name: "FLOPs", axis: "canonical FLOPs per query, log scale", show: (value) => count(value) },
  tokens: { name: "tokens", axis: "tokens per query, log scale", show: (value) => count(value) },
  dollars: { name: "dollars", axis: "dollars per query, log scale", show: (value) => dollars(value) },
  gpu_seconds: { name: "GPU-s", axis: "GPU-seconds per query, log scale", show: (value) => count(value) },
};
const SERIES_COLOURS = 6;
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "inverted", "bar"];

function el(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map(shown));
  return element;
}

// Control characters have no look of their own; only ends of lines and tabs mean something.
function shown(child) {
  return child instanceof Node ? child : String(child).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}

// Text of unknown direction: it must not turn what stands beside it.
function foreign(text, tag = "bdi", attributes = {}) {
  return el(tag, { dir: "auto", ...attributes }, text);
}

function count(value) {
  if (value === null || value === undefined) return "unknown";
  for (const [size, suffix] of [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) return `${significant(value / size)}${suffix}`;
  }
  return significant(value);
}

function significant(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const short = Number(value.toPrecision(3));
  return Math.abs(short) >= 1e-4 ? String(short) : short.toExponential();
}

function percent(value) {
  return value === null || value === undefined ? "\u2013" : `${(100 * value).toFixed(1)}\u202f%`;
}

function points(value) {
  return `${value < 0 ? "\u2212" : "+"}${Math.abs(100 * value).toFixed(1)}`;
}

function dollars(value) {
  if (value === null || value === undefined) return "unknown";
  return value >= 1 ? `$${value.toFixed(2)}` : `$${significant(value)}`;
}

function whole(value) {
  return value === null || value === undefined ? "unknown" : value.toLocaleString("en");
}

function seconds(value) {
  return value === null || value === undefined ? "unknown" : `${significant(value)}\u202fs`;
}

// The sign of a series: colour and shape both tell it apart.
function marker(series, x, y, size = 5) {
  const shape = SHAPES[series % SHAPES.length];
  const at = (dx, dy) => `${(x + dx * size).toFixed(1)},${(y + dy * size).toFixed(1)}`;
  const drawn = {
    circle: () => svg("circle", { cx: x, cy: y, r: size }),
    square: () => svg("rect", { x: x - size * 0.9, y: y - size * 0.9, width: size * 1.8, height: size * 1.8 }),
    triangle: () => svg("polygon", { points: [at(0, -1.2), at(1.1, 0.8), at(-1.1, 0.8)].join(" ") }),
    diamond: () => svg("polygon", { points: [at(0, -1.3), at(1.3, 0), at(0, 1.3), at(-1.3, 0)].join(" ") }),
    cross: () =>
      svg("polygon", {
        points: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2],
          [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]].map(([dx, dy]) => at(dx, dy)).join(" "),
      }),
    inverted: () => svg("polygon", { points: [at(0, 1.2), at(1.1, -0.8), at(-1.1, -0.8)].join(" ") }),
    bar: () => svg("rect", { x: x - size * 1.3, y: y - size * 0.5, width: size * 2.6, height: size }),
  }[shape]();
  drawn.setAttribute("class", `marker c${series % SERIES_COLOURS}`);
  return drawn;
}

function swatch(series, hollow = false) {
  return svg("svg", { class: `swatch${hollow ? " hollow" : ""}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, marker(series, 8, 8, 5));
}

// A value with its interval on a scale from `from` to `to`, as small as a word.
function intervalBar(value, low, high, from, to, series = null) {
  const x = (at) => 2 + (96 * (Math.min(Math.max(at, from), to) - from)) / (to - from);
  const zero = from < 0 && to > 0 ? svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: 14 }) : null;
  const colour = series === null ? "" : ` c${series % SERIES_COLOURS}`;
  return svg("svg", { class: "interval", viewBox: "0 0 100 14", "aria-hidden": "true" },
    svg("line", { class: "scale", x1: 2, x2: 98, y1: 7, y2: 7 }),
    zero,
    svg("line", { class: `spread${colour}`, x1: x(low), x2: x(high), y1: 7, y2: 7 }),
    series === null ? svg("circle", { class: "dot", cx: x(value), cy: 7, r: 4 }) : marker(series, x(value), 7, 4));
}

// `short` is its name in the list of contents.
function section(id, short, title, note, ...children) {
  return el("section", { id, tabindex: "-1", "aria-labelledby": `${id}-heading`, "data-title": short },
    el("h2", { id: `${id}-heading` }, title), note ? el("p", { class: "note" }, note) : null, children);
}

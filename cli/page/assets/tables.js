// Tables that sort by any column and keep the rows that hold what is typed.

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const FEW = 25;  // rows of a longer table that are shown until all are asked for

// `columns`: {title, value(row): what is sorted by, cell(row)?: node or text, kind?: "number", hint?, head?: is row header}.
function table({ label, columns, rows, filter = true, controls = [], keep = () => true, rowAttributes = () => ({}) }) {
  let sorted = null;
  let words = [];
  const body = el("tbody");
  let all = false;
  const more = el("button", { type: "button", class: "more", onclick: () => {
    all = true;
    draw();
    body.rows[FEW].querySelector("button, th")?.focus();
  } });
  const said = el("p", { class: "count", role: "status" });
  const heads = columns.map((column, at) => {
    const arrow = el("span", { class: "arrow", "aria-hidden": "true" });
    const button = el("button", { type: "button", title: column.hint, onclick: () => sort(at) }, column.title, arrow);
    return el("th", { scope: "col", class: column.kind, "aria-sort": "none" }, button);
  });
  const search = el("input", {
    type: "search", placeholder: "Filter rows", "aria-label": `Filter the rows of ${label}`, autocomplete: "off",
    oninput: () => {
      words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      draw();
    },
    onkeydown: (event) => {
      if (event.key !== "Escape" || !search.value) return;
      event.preventDefault();
      search.value = "";
      words = [];
      draw();
    },
  });

  function sort(at) {
    const down = sorted?.at === at ? !sorted.down : columns[at].kind === "number";
    sorted = { at, down };
    heads.forEach((head, n) => {
      head.setAttribute("aria-sort", n === at ? (down ? "descending" : "ascending") : "none");
      head.querySelector(".arrow").textContent = n === at ? (down ? "\u2193" : "\u2191") : "";
    });
    draw();
  }

  function compare(a, b) {
    const [one, other] = [a, b].map((row) => columns[sorted.at].value(row) ?? null);
    // What is unknown comes last, whichever way it is sorted.
    if (one === null || other === null) return (one === null) - (other === null);
    const order = typeof one === "number" && typeof other === "number" ? one - other : collator.compare(one, other);
    return sorted.down ? -order : order;
  }

  function chosen() {
    const kept = rows.filter((row) => keep(row) && (!words.length || matches(row)));
    return sorted === null ? kept : kept.sort(compare);
  }

  function matches(row) {
    const text = columns.map((column) => column.text?.(row) ?? column.value(row) ?? "").join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function draw() {
    const now = chosen();
    said.textContent = now.length === rows.length ? `${rows.length} rows` : `${now.length} of ${rows.length} rows`;
    more.hidden = all || now.length <= 2 * FEW;
    more.textContent = `Show all ${now.length} rows`;
    body.replaceChildren(...(more.hidden ? now : now.slice(0, FEW)).map((row) =>
      el("tr", rowAttributes(row), columns.map((column) =>
        el(column.head ? "th" : "td", { class: column.kind, scope: column.head ? "row" : null },
          column.cell ? column.cell(row) : column.value(row) ?? "\u2013")))));
  }

  draw();
  const bar = filter || controls.length
    ? el("div", { class: "controls" }, controls, filter ? search : null, said)
    : null;
  const scroll = el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `${label}, scrolls sideways` },
    el("table", {}, el("caption", { class: "hidden" }, label), el("thead", {}, el("tr", {}, heads)), body));
  return { node: el("div", { class: "table" }, bar, scroll, more), draw, chosen };
}

function choice(label, options, changed) {
  const select = el("select", { onchange: () => changed(select.value) },
    options.map(([value, text]) => el("option", { value, dir: "auto" }, text)));
  return el("label", { class: "choice" }, el("span", {}, label), select);
}

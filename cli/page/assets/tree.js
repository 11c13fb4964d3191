// A query's candidates as a tree: branches are made when they are opened; arrow keys walk it.

const LINE = 110;  // characters of a text that a closed node shows

function candidateTree(query, separator) {
  const children = new Map();
  for (const candidate of query.candidates) {
    const parent = candidate.parent ?? null;
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(candidate);
  }
  const chosen = query.candidates.find((one) => one.answer !== undefined && one.answer === query.answer);
  const searched = query.candidates.some((one) => one.parent !== undefined);
  const root = el("ul", { role: "tree", class: "tree", "aria-label": "Candidates", onkeydown: walk });

  function grow(list, parent, level) {
    const group = children.get(parent) ?? [];
    group.forEach((candidate, at) => list.append(branch(candidate, level, at + 1, group.length)));
  }

  function branch(candidate, level, place, of) {
    const text = (candidate.text ?? "").trim();
    const below = children.has(candidate.path);
    const opens = below || text.length > LINE || text.includes("\n") || scores(candidate).length > 1;
    const item = el("li", {
      role: "treeitem", tabindex: "-1", "aria-level": level, "aria-posinset": place, "aria-setsize": of,
      "aria-expanded": opens ? "false" : null, class: candidate.disposition === "discarded" ? "given-up" : null,
    }, label(candidate, text, level, opens));
    item.unopened = opens ? () => {
      if (!below || text.length > LINE || text.includes("\n")) item.append(fullText(candidate, text));
      if (!below) return;
      const list = el("ul", { role: "group" });
      grow(list, candidate.path, level + 1);
      item.append(list);
    } : null;
    return item;
  }

  function label(candidate, text, level, opens) {
    const verdict = { true: "right", false: "wrong" }[candidate.correct];
    const votes = chosen && candidate.answer !== undefined && candidate.answer_class === chosen.answer_class;
    return el("div", { class: "node", onclick: (event) => pressed(event) },
      el("span", { class: "twisty", "aria-hidden": "true" }, opens ? "\u203a" : ""),
      el("span", { class: "place" }, searched ? `step ${level}` : `sample ${candidate.path}`),
      candidate.score === undefined ? null : score(candidate.score),
      foreign(flat(text), "span", { class: "excerpt" }),
      candidate.answer === undefined ? null : el("span", { class: "given" }, "= ", foreign(clipped(candidate.answer, 40))),
      verdict ? el("span", { class: `verdict ${verdict}` }, verdict) : null,
      votes ? el("span", { class: "badge" }, "chosen answer") : null,
      ["length", "clipped"].includes(candidate.finish_reason) ? el("span", { class: "badge cut" }, "cut off") : null,
      candidate.disposition === "discarded" ? el("span", { class: "badge" }, "given up") : null,
      candidate.generated_tokens === undefined ? null : el("span", { class: "tokens" }, `${whole(candidate.generated_tokens)} tokens`));
  }

  function fullText(candidate, text) {
    const own = scores(candidate);
    const steps = text.split(separator).filter((step) => step.trim());
    if (own.length > 1 && own.length === steps.length) {
      return el("ol", { class: "steps" }, steps.map((step, at) => el("li", {}, score(own[at]), foreign(step, "span"))));
    }
    return el("div", { class: "text" },
      own.length > 1 ? el("p", { class: "own" }, "step scores ", own.map(score)) : null,
      foreign(text, "pre"));
  }

  function pressed(event) {
    const item = event.currentTarget.parentElement;
    focus(item);
    toggle(item, item.getAttribute("aria-expanded") === "false");
  }

  function toggle(item, open) {
    if (!item.hasAttribute("aria-expanded")) return;
    if (open && item.unopened) {
      item.unopened();
      item.unopened = null;
    }
    item.setAttribute("aria-expanded", String(open));
  }

  function visible() {
    return [...root.querySelectorAll("[role=treeitem]")].filter((item) => !item.parentElement.closest("[aria-expanded=false]"));
  }

  function focus(item) {
    if (!item) return;
    root.querySelectorAll("[tabindex='0']").forEach((one) => one.setAttribute("tabindex", "-1"));
    item.setAttribute("tabindex", "0");
    item.focus();
  }

  function walk(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
    const items = visible();
    const at = items.indexOf(item);
    const open = item.getAttribute("aria-expanded");
    const above = item.parentElement.closest("[role=treeitem]");
    const act = {
      ArrowDown: () => focus(items[at + 1]),
      ArrowUp: () => focus(items[at - 1]),
      Home: () => focus(items[0]),
      End: () => focus(items[items.length - 1]),
      ArrowRight: () => (open === "false" ? toggle(item, true) : focus(item.querySelector("[role=treeitem]"))),
      ArrowLeft: () => (open === "true" ? toggle(item, false) : focus(above)),
      Enter: () => toggle(item, open === "false"),
      " ": () => toggle(item, open === "false"),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // A search opens along what it kept, so that the way to its answer is there to see.
  function openKept(list) {
    for (const item of list.children) {
      if (item.classList.contains("given-up") || item.getAttribute("aria-expanded") !== "false") continue;
      toggle(item, true);
      const group = item.querySelector(":scope > [role=group]");
      if (group) openKept(group);
    }
  }

  grow(root, null, 1);
  if (searched) openKept(root);
  root.firstChild?.setAttribute("tabindex", "0");
  return root;
}

function scores(candidate) {
  return (candidate.step_scores ?? []).filter((one) => one !== null);
}

function score(value) {
  const bar = el("span", { class: "score-bar", "aria-hidden": "true" }, el("span"));
  bar.firstChild.style.width = `${Math.round(100 * Math.min(Math.max(value, 0), 1))}%`;
  return el("span", { class: "score", title: "verifier score" }, bar, el("span", {}, value.toFixed(2)));
}

function flat(text) {
  return clipped(text.split("\n").map((line) => line.trim()).filter(Boolean).join(" \u00b7 "), LINE);
}

function clipped(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}\u2026` : text;
}

// Accuracy against cost: points of jobs with their intervals, replayed curves, the frontier.

const NEAR = 36;  // pixels from which a pointer reaches a point

function costPlot(report, lit) {
  const datasets = [...new Map(report.jobs.map((job) => [job.dataset_id, job.dataset_label])).entries()];
  const curves = report.curves ?? [];
  const known = Object.keys(UNITS).filter((unit) =>
    report.jobs.some((job) => job.accuracy !== null && job.per_query[unit] > 0));
  let unit = known[0];
  let dataset = datasets[0][0];
  const hidden = furtherCurves(report, curves);
  const holder = el("div", { class: "plot" });
  const tip = el("div", { class: "tip", hidden: true });
  const legend = el("div", { class: "legend", role: "group", "aria-label": "Series; press one to hide it" });
  const missing = el("p", { class: "note" });
  let places = [];
  let current = -1;

  const units = el("fieldset", { class: "switch" }, el("legend", { class: "hidden" }, "Cost in"),
    known.map((name, at) => el("label", {},
      el("input", { type: "radio", name: "unit", value: name, checked: at === 0, onchange: () => { unit = name; draw(); } }),
      el("span", {}, UNITS[name].name))));
  const which = datasets.length > 1
    ? choice("Dataset", datasets.map(([id, name]) => [String(id), name]), (value) => { dataset = Number(value); draw(); })
    : null;
  const node = el("figure", { class: "cost-plot" },
    el("div", { class: "controls" }, units, which, legend), holder, missing);

  function shownJobs() {
    return report.jobs.filter((job) => job.dataset_id === dataset);
  }

  function lines() {
    const realised = Map.groupBy
      ? Map.groupBy(shownJobs().filter(drawable), (job) => job.series)
      : shownJobs().filter(drawable).reduce((all, job) => all.set(job.series, [...(all.get(job.series) ?? []), job]), new Map());
    const found = [...realised].map(([name, jobs]) => ({
      name, series: jobs[0].colour, replayed: false,
      points: jobs.map((job) => ({
        x: job.per_query[unit], y: job.accuracy, low: job.accuracy_low, high: job.accuracy_high, tag: job.budget,
        label: job.label, job, cost: job.per_query,
      })),
    }));
    for (const curve of curves) {
      const job = report.jobs.find((one) => one.job_id === curve.job_id);
      if (!job || job.dataset_id !== dataset) continue;
      const name = curveName(curve);
      found.push({
        name, series: curve.colour, replayed: true,
        points: curve.points.filter((point) => point[unit] > 0 && point.accuracy !== null).map((point) => ({
          x: point[unit], y: point.accuracy, low: point.low, high: point.high, tag: String(point.n),
          label: `${name}, N = ${point.n}`, job, cost: point,
        })),
      });
    }
    found.forEach((line) => line.points.sort((a, b) => a.x - b.x));
    return found.filter((line) => line.points.length);
  }

  function drawable(job) {
    return job.accuracy !== null && job.per_query[unit] > 0;
  }

  function draw() {
    hide();
    const all = lines();
    const visible = all.filter((line) => !hidden.has(line.name));
    const left = shownJobs().filter((job) => !drawable(job));
    missing.replaceChildren(...(left.length
      ? ["Not drawn: ", ...left.flatMap((job, at) => [at ? ", " : "", foreign(job.label)]),
        ` (${left.every((job) => job.accuracy === null) ? "accuracy" : `accuracy or ${UNITS[unit].name}`} unknown).`]
      : []));
    legend.replaceChildren(...all.map((line) => el("button", {
      type: "button", "aria-pressed": String(!hidden.has(line.name)),
      onclick: () => {
        if (!hidden.delete(line.name)) hidden.add(line.name);
        draw();
        [...legend.children].find((button) => button.textContent === shown(line.name))?.focus();
      },
    }, swatch(line.series, line.replayed), foreign(line.name))), frontierKey());
    holder.replaceChildren(picture(visible), tip);
  }

  function frontierKey() {
    return el("span", { class: "key" }, svg("svg", { class: "swatch", viewBox: "0 0 16 16", "aria-hidden": "true" },
      svg("path", { class: "frontier", d: "M0 13H8V3H16" })), "frontier: nothing is cheaper and better; numbers are budgets");
  }

  function picture(visible) {
    const width = Math.max(280, Math.floor(holder.clientWidth || 720));
    const height = Math.round(Math.min(320, Math.max(250, width * 0.4)));
    const frame = { left: 46, right: width - 18, top: 26, bottom: height - 40 };
    const every = visible.flatMap((line) => line.points);
    const x = logScale(every.map((point) => point.x), frame.left + 14, frame.right - 14);
    const y = percentScale(every.flatMap((point) => [point.low ?? point.y, point.high ?? point.y]), frame.bottom, frame.top);
    const drawing = svg("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label":
        `Accuracy against ${UNITS[unit].axis}. ${every.length} points; arrow keys go from one to the next.`,
      onpointermove: (event) => near(event), onpointerdown: (event) => near(event), onpointerleave: () => hide(),
    });
    const grid = svg("g", { class: "grid", "aria-hidden": "true" });
    for (const tick of y.ticks) {
      grid.append(svg("line", { x1: frame.left, x2: frame.right, y1: y.at(tick), y2: y.at(tick) }),
        svg("text", { x: frame.left - 8, y: y.at(tick) + 4, "text-anchor": "end" }, `${Math.round(100 * tick)}`));
    }
    for (const tick of thinned(x.ticks, x, 52)) {
      grid.append(svg("line", { x1: x.at(tick), x2: x.at(tick), y1: frame.bottom, y2: frame.bottom + 5 }),
        svg("text", { x: x.at(tick), y: frame.bottom + 19, "text-anchor": "middle" }, UNITS[unit].show(tick)));
    }
    grid.append(svg("line", { class: "axis", x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom }),
      svg("text", { class: "title", x: frame.right, y: height - 6, "text-anchor": "end" }, UNITS[unit].axis),
      svg("text", { class: "title", x: frame.left - 30, y: 10 }, "accuracy, % (bars: 95 %)"));
    drawing.append(grid, frontier(x, y, frame));
    places = [];
    for (const line of visible) {
      const kind = `line c${line.series % SERIES_COLOURS}${line.replayed ? " replayed" : ""}`;
      const path = line.points.map((point) => `${x.at(point.x).toFixed(1)} ${y.at(point.y).toFixed(1)}`).join("L");
      drawing.append(svg("path", { class: kind, d: `M${path}`, "aria-hidden": "true" }));
    }
    for (const line of visible) {
      // Of a curve over every N, the powers of two are marked.
      const marked = line.points.filter((point, at) => !line.replayed || Math.log2(point.tag) % 1 === 0 || at === line.points.length - 1);
      for (const point of marked) drawing.append(pointAt(point, line, x, y));
    }
    const order = places.map((place, at) => at).sort((a, b) => places[a].px - places[b].px);
    places = order.map((at) => places[at]);
    places.forEach((place, at) => place.node.setAttribute("tabindex", at === 0 ? "0" : "-1"));
    return drawing;
  }

  function pointAt(point, line, x, y) {
    const [px, py] = [x.at(point.x), y.at(point.y)];
    const [top, bottom] = [y.at(point.high ?? point.y), y.at(point.low ?? point.y)];
    const colour = `c${line.series % SERIES_COLOURS}`;
    const aside = px > holder.clientWidth - 60;
    const node = svg("g", {
      class: `point${line.replayed ? " replayed" : ""}`, role: "img", "aria-label": spoken(point),
      onfocus: () => show(places.findIndex((place) => place.node === node)), onblur: () => hide(), onkeydown: (event) => step(event),
    },
    svg("path", { class: `spread ${colour}`, d: `M${px} ${top}V${bottom}M${px - 4} ${top}h8M${px - 4} ${bottom}h8` }),
    svg("circle", { class: "halo", cx: px, cy: py, r: 10 }),
    marker(line.series, px, py, line.replayed ? 3.5 : 5.5),
    svg("text", { class: "tag", x: aside ? px - 8 : px + 8, y: py - 8, "text-anchor": aside ? "end" : "start" }, line.replayed ? "" : shortened(point.tag)));
    places.push({ px, py, node, point, line });
    return node;
  }

  function frontier(x, y, frame) {
    const jobs = new Set(shownJobs().map((job) => job.job_id));
    const steps = (report.frontier ?? []).filter((one) => one.unit === unit && jobs.has(one.job_id) && one.cost > 0);
    if (!steps.length) return svg("g");
    steps.sort((a, b) => a.cost - b.cost);
    const path = steps.map((one, at) => `${at ? "H" : "M"}${x.at(one.cost).toFixed(1)}${at ? "V" : " "}${y.at(one.accuracy).toFixed(1)}`);
    return svg("path", { class: "frontier", d: `${path.join("")}H${frame.right}`, "aria-hidden": "true" });
  }

  function near(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const [mx, my] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let least = NEAR;
    places.forEach((place, at) => {
      const distance = Math.hypot(place.px - mx, place.py - my);
      if (distance < least) [best, least] = [at, distance];
    });
    if (best < 0) hide();
    else if (best !== current) show(best);
  }

  function show(at) {
    hide();
    const place = places[at];
    if (!place) return;
    current = at;
    place.node.classList.add("lit");
    lit(place.line.replayed ? null : place.point.job.job_id);
    tip.replaceChildren(
      el("p", { class: "tip-title" }, swatch(place.line.series, place.line.replayed), foreign(place.point.label)),
      el("p", { class: "tip-value" }, percent(place.point.y), el("span", {}, interval(place.point))),
      el("dl", {}, Object.entries(UNITS).filter(([name]) => place.point.cost[name] !== undefined).map(([name, of]) =>
        [el("dt", {}, `${of.name} per query`), el("dd", {}, of.show(place.point.cost[name]))])));
    tip.hidden = false;
    const room = holder.clientWidth - tip.offsetWidth;
    const aside = place.px + 16 > room ? place.px - tip.offsetWidth - 16 : place.px + 16;
    tip.style.left = `${Math.max(0, Math.min(aside, room))}px`;
    tip.style.top = `${Math.max(0, Math.min(place.py - tip.offsetHeight / 2, holder.clientHeight - tip.offsetHeight))}px`;
  }

  function hide() {
    places[current]?.node.classList.remove("lit");
    current = -1;
    tip.hidden = true;
    lit(null);
  }

  function step(event) {
    const at = places.findIndex((place) => place.node === event.currentTarget);
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: places.length - 1 }[event.key];
    if (event.key === "Escape") hide();
    if (to === undefined || !places[to]) return;
    event.preventDefault();
    places[at].node.setAttribute("tabindex", "-1");
    places[to].node.setAttribute("tabindex", "0");
    places[to].node.focus();
  }

  function spoken(point) {
    return `${point.label}: accuracy ${percent(point.y)}${interval(point)}, ${UNITS[unit].show(point.x)} ${UNITS[unit].name} per query`;
  }

  draw();
  new ResizeObserver(() => { if (holder.clientWidth !== Number(holder.firstChild?.getAttribute("width"))) draw(); }).observe(holder);
  return { node, draw };
}

function curveName(curve) {
  const way = curve.strategy === "pass@k" ? "pass@k (an oracle chooses)" : curve.strategy;
  return `${way}${curve.aggregation ? ` (${curve.aggregation})` : ""}, replayed from job ${curve.job_id}`;
}

// One curve of each strategy is enough to begin with: the longest.
function furtherCurves(report, curves) {
  const seen = new Set();
  const hidden = new Set();
  for (const curve of [...curves].sort((a, b) => b.points.length - a.points.length)) {
    const of = JSON.stringify([report.jobs.find((job) => job.job_id === curve.job_id)?.dataset_id, curve.strategy]);
    if (seen.has(of)) hidden.add(curveName(curve));
    seen.add(of);
  }
  return hidden;
}

function interval(point) {
  return point.low === null || point.low === undefined ? "" : ` (95 %: ${(100 * point.low).toFixed(1)} to ${(100 * point.high).toFixed(1)})`;
}

function shortened(tag) {
  return tag.length > 12 ? `${tag.slice(0, 11)}\u2026` : tag;
}

function logScale(values, from, to) {
  let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [1, 10];
  if (high / low < 1.5) [low, high] = [low / 1.5, high * 1.5];
  const [first, last] = [Math.log10(low), Math.log10(high)];
  const steps = last - first > 2.5 ? [1] : last - first > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
  const ticks = [];
  for (let power = Math.floor(first); power <= last; power += 1) {
    for (const step of steps) {
      const tick = Number(`${step}e${power}`);
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return { ticks, at: (value) => from + ((Math.log10(value) - first) / (last - first)) * (to - from) };
}

function percentScale(values, from, to) {
  let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((one) => (high - low) / one <= 6) ?? 0.2;
  low = Math.max(0, Math.floor(low / step + 1e-9) * step);
  high = Math.min(1, Math.ceil(high / step - 1e-9) * step);
  if (high - low < step) [low, high] = [Math.max(0, low - step), Math.min(1, high + step)];
  const ticks = [];
  for (let tick = low; tick <= high + 1e-9; tick += step) ticks.push(tick);
  return { ticks, at: (value) => from + ((value - low) / (high - low)) * (to - from) };
}

function thinned(ticks, scale, room) {
  const kept = [];
  for (const tick of ticks) {
    if (!kept.length || scale.at(tick) - scale.at(kept[kept.length - 1]) >= room) kept.push(tick);
  }
  return kept;
}

// The page from top to bottom. A part of the document that is missing has no section.

const report = JSON.parse(document.getElementById("document").textContent);

function jobsSection() {
  const rows = [...report.jobs];
  const known = rows.filter((job) => job.accuracy !== null);
  const [from, to] = bounds(known.flatMap((job) => [job.accuracy_low, job.accuracy_high]));
  const perQuery = (unit, title, hint) => ({
    title, hint, kind: "number", value: (job) => job.per_query[unit], cell: (job) => UNITS[unit].show(job.per_query[unit]),
  });
  const columns = [
    { title: "strategy", head: true, value: (job) => job.label,
      text: (job) => `${job.label} ${job.name} ${job.dataset} ${job.generator} ${job.verifier ?? ""}`,
      cell: (job) => [swatch(job.colour), foreign(job.label), job.state === "done" ? null : el("span", { class: "badge" }, job.state)] },
    { title: "accuracy", kind: "number", value: (job) => job.accuracy, hint: "right answers among the graded ones; 95 % Wilson interval",
      cell: (job) => job.accuracy === null ? "unknown" : el("span", { class: "measure" }, percent(job.accuracy),
        el("small", {}, `${(100 * job.accuracy_low).toFixed(1)} to ${(100 * job.accuracy_high).toFixed(1)}`)) },
    { title: "95 %", value: (job) => job.accuracy, hint: `from ${percent(from)} to ${percent(to)}`,
      cell: (job) => job.accuracy === null ? "" : intervalBar(job.accuracy, job.accuracy_low, job.accuracy_high, from, to, job.colour) },
    perQuery("flops", "FLOPs / query", "canonical: as if the query ran alone; verifier included"),
    perQuery("tokens", "tokens / query", "prompt, generated and scored"),
    perQuery("gpu_seconds", "GPU-s / query", "time the engine was busy, on a CPU too"),
    perQuery("dollars", "dollars / query", "unknown where no price is configured"),
    ...(rows.some((job) => job.dollars !== null)
      ? [{ title: "dollars, all", kind: "number", value: (job) => job.dollars, cell: (job) => (job.dollars_at_least ? "at least " : "") + dollars(job.dollars) }] : []),
    { title: "problems", kind: "number", value: (job) => job.queries,
      cell: (job) => job.done === job.queries ? whole(job.queries) : `${whole(job.done)} of ${whole(job.queries)}` },
    { title: "failed", kind: "number", value: (job) => job.failed },
    { title: "samples", kind: "number", value: (job) => job.samples, cell: (job) => whole(job.samples ?? 0) },
    { title: "reused", kind: "number", value: (job) => job.reused_samples, cell: (job) => whole(job.reused_samples ?? 0) },
    { title: "cut", kind: "number", value: (job) => job.truncated_rate, cell: (job) => percent(job.truncated_rate), hint: "completions that ran into a length limit" },
    { title: "unread", kind: "number", value: (job) => job.unparsed_rate, cell: (job) => percent(job.unparsed_rate), hint: "candidates without a readable answer" },
    { title: "job", kind: "number", value: (job) => job.job_id },
  ];
  return table({ label: "Jobs", columns, rows, filter: rows.length > 6, rowAttributes: (job) => ({ "data-job": job.job_id }) });
}

function bounds(values) {
  return values.length ? [Math.floor(10 * Math.min(...values)) / 10, Math.ceil(10 * Math.max(...values)) / 10] : [0, 1];
}

function pairsSection() {
  const far = Math.max(0.01, ...report.pairs.flatMap((pair) => [Math.abs(pair.low ?? 0), Math.abs(pair.high ?? 0)]));
  const columns = [
    { title: "in words", head: true, value: (pair) => pair.sentence, cell: (pair) => foreign(pair.sentence, "span", { class: "sentence" }) },
    { title: "points", kind: "number", value: (pair) => pair.gain, cell: (pair) => pair.gain === null ? "unknown" : points(pair.gain), hint: "difference in accuracy on the same problems" },
    { title: "95 %", value: (pair) => pair.gain, cell: (pair) => pair.gain === null ? "" : intervalBar(pair.gain, pair.low, pair.high, -far, far) },
    { title: "cost", kind: "number", value: (pair) => pair.cost_ratio, hint: "canonical FLOPs, as a multiple",
      cell: (pair) => pair.cost_ratio === null ? "unknown" : `\u00d7\u202f${significant(pair.cost_ratio)}` },
  ];
  return section("pairs", "Comparisons", "Compared on the same problems",
    "Paired bootstrap over problems, 2,000 draws, 95 %; p of McNemar\u2019s exact test. An interval that holds 0 settles nothing.",
    table({ label: "Comparisons", columns, rows: report.pairs, filter: report.pairs.length > 5 }).node);
}

function decisionsSection() {
  return section("decisions", "Decisions", "Decisions", null, report.decisions.map((one) => el("div", { class: "decision" },
    el("h3", {}, foreign(one.question)), foreign(one.answer, "p"),
    one.details && Object.keys(one.details).length ? el("details", {}, el("summary", {}, "How it was found"), properties(one.details)) : null)));
}

function breakdownSection(jobs) {
  const kinds = ["strategy", "bin", "subject", "level"].filter((kind) => jobs.some((job) => (job.breakdown[kind] ?? []).length > 1));
  if (!kinds.length) return null;
  let kind = kinds[0];
  const rows = jobs.flatMap((job) => kinds.flatMap((name) => (job.breakdown[name] ?? []).map((group) => ({ ...group, job, kind: name }))));
  const rate = (name, title) => ({ title, kind: "number", value: (group) => group[name], cell: (group) => percent(group[name]) });
  const amount = (name, title) => ({ title, kind: "number", value: (group) => group[name], cell: (group) => count(group[name]) });
  const columns = [
    { title: "group", head: true, value: (group) => group.value, cell: (group) => group.value === null ? "not given" : foreign(group.value) },
    { title: "job", value: (group) => group.job.label, cell: (group) => [swatch(group.job.colour), foreign(group.job.label)] },
    { title: "accuracy", kind: "number", value: (group) => group.accuracy, cell: (group) => group.accuracy === null ? "unknown"
      : el("span", { class: "measure" }, percent(group.accuracy), el("small", {}, `${(100 * group.low).toFixed(1)} to ${(100 * group.high).toFixed(1)}`)) },
    { title: "95 %", value: (group) => group.accuracy,
      cell: (group) => group.accuracy === null ? "" : intervalBar(group.accuracy, group.low, group.high, 0, 1, group.job.colour) },
    { title: "problems", kind: "number", value: (group) => group.queries }, amount("samples", "samples"), amount("total_tokens", "tokens"),
    amount("flops_canonical", "FLOPs"), { title: "dollars", kind: "number", value: (group) => group.dollars, cell: (group) => (group.dollars_at_least ? "at least " : "") + dollars(group.dollars) },
    rate("pass_at_1", "pass@1"), rate("pass_at_n", "pass@N"), rate("selection_efficiency", "selection"), rate("truncated_rate", "cut"), rate("unparsed_rate", "unread"),
  ];
  const made = table({ label: "Groups", columns, rows, keep: (group) => group.kind === kind, controls: [
    choice("By", kinds.map((name) => [name, name]), (value) => { kind = value; made.draw(); }),
  ] });
  return section("groups", "Groups", "Where it was right", "selection: how much of what the samples hold was found, (accuracy \u2212 pass@1) / (pass@N \u2212 pass@1).", made.node);
}

function specificationsSection() {
  return section("specifications", "Specifications", "Specifications", "What each job was, so that it can be run again.", report.jobs.map((job) =>
    el("details", { class: "specification" },
      el("summary", {}, swatch(job.colour), foreign(job.label), el("small", {}, ` job ${job.job_id}, `, foreign(job.name))),
      properties({ dataset: job.dataset, state: job.state, created: job.created_at, ended: job.ended_at,
        ...(job.imported_from ? { "imported from": job.imported_from } : {}), versions: job.versions, ...job.specification }))));
}

function properties(value) {
  return el("dl", { class: "properties" }, Object.entries(value).map(([name, part]) =>
    el("div", {}, el("dt", {}, foreign(name.replaceAll("_", " "))), el("dd", {}, property(part)))));
}

function property(part) {
  if (part === null || part === "") return el("span", { class: "quiet" }, part === null ? "none" : "empty");
  if (Array.isArray(part)) {
    if (!part.length) return el("span", { class: "quiet" }, "none");
    return part.some((one) => one !== null && typeof one === "object")
      ? el("ol", {}, part.map((one) => el("li", {}, property(one)))) : foreign(JSON.stringify(part), "code");
  }
  if (typeof part === "object") return Object.keys(part).length ? properties(part) : el("span", { class: "quiet" }, "none");
  if (typeof part !== "string") return String(part);
  return part.includes("\n") || part.length > 80 ? foreign(part, "pre") : foreign(part.trim() ? part : JSON.stringify(part));
}

function notReplayable() {
  if (!report.not_replayable?.length) return null;
  return el("p", { class: "note" }, "Not replayed: ", report.not_replayable.flatMap((one, at) => [at ? "; " : "", `job ${one.job_id}, `, foreign(one.reason)]), ".");
}

function notes() {
  const said = [
    "Accuracy is over the problems that have a reference answer; its interval is Wilson\u2019s, 95 %.",
    "Costs are per query and count everything: every sample, the verifier, failed attempts. Reused samples are charged at their original cost. Unknown means unknown, not zero.",
    "FLOPs are canonical: as if each query ran alone, with one prefill of its prompt.",
    "The best of several jobs was picked on these very problems, which flatters it a little; confirm it on others.",
    report.jobs.some((job) => job.oracle) ? "Oracle: that strategy read the reference answers. It bounds what choosing could gain and competes with nothing." : null,
  ];
  return [el("h2", {}, "How to read this"), el("ul", {}, said.filter(Boolean).map((line) => el("li", {}, line))),
    el("p", {}, "This file holds everything that it shows. It loads nothing and sends nothing.")];
}

function assemble() {
  const colours = [...new Set([...report.jobs.map((job) => job.series), ...(report.curves ?? []).map((curve) => curve.strategy)])];
  for (const job of report.jobs) job.colour = colours.indexOf(job.series);
  for (const curve of report.curves ?? []) curve.colour = colours.indexOf(curve.strategy);
  document.title = `${shown(report.title)} \u2013 tts-jobs report`;
  document.getElementById("title").replaceChildren(foreign(report.title));
  document.getElementById("conclusion").replaceChildren(foreign(report.conclusion ?? "", "span"));
  document.getElementById("origin").replaceChildren("tts-jobs report, ",
    el("time", { datetime: report.made_at }, report.made_at.slice(0, 16).replace("T", " ") + " UTC"), `, version ${report.version}`);

  const jobs = jobsSection();
  const light = (jobId) => jobs.node.querySelectorAll("tr[data-job]").forEach((row) => row.classList.toggle("lit", row.dataset.job === String(jobId)));
  const drawable = report.jobs.some((job) => job.accuracy !== null && Object.values(job.per_query).some((cost) => cost > 0));
  const plot = drawable ? costPlot(report, light) : null;
  const detailed = report.jobs.filter((job) => job.breakdown);
  const sections = [
    plot ? section("cost", "Plot", "Accuracy against cost", null, plot.node, notReplayable()) : null,
    section("jobs", "Jobs", "Jobs", null, jobs.node),
    report.pairs?.length ? pairsSection() : null,
    report.decisions?.length ? decisionsSection() : null,
    detailed.length ? breakdownSection(detailed) : null,
    report.queries?.length ? queriesSection(report) : null,
    specificationsSection(),
  ].filter(Boolean);
  document.getElementById("main").append(...sections);
  plot?.draw();
  document.getElementById("contents").append(el("ul", {}, sections.map((one) =>
    el("li", {}, el("a", { href: `#${one.id}` }, one.dataset.title)))));
  document.getElementById("notes").append(...notes());
}

assemble();

// On paper nothing can be opened.
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach((one) => { one.open = true; one.dataset.printed = ""; }));
addEventListener("afterprint", () => document.querySelectorAll("details[data-printed]").forEach((one) => { one.open = false; delete one.dataset.printed; }));

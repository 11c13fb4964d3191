// The answers that are shown in full: a table of them, and one at a time in a dialog.

function queriesSection(report) {
  const jobs = new Map(report.jobs.map((job) => [job.job_id, job]));
  const wanted = { job: "", verdict: "", reason: "" };
  const dialog = el("dialog", { class: "query", "aria-labelledby": "query-title", onclick: (event) => { if (event.target === dialog) dialog.close(); } });
  let shownQuery = null;

  const verdict = (query) => ({ true: "right", false: "wrong" }[query.correct] ?? (query.state === "failed" ? "failed" : "not graded"));
  const columns = [
    { title: "problem", head: true, value: (query) => query.key,
      cell: (query) => el("button", { type: "button", class: "open", onclick: () => open(query) }, foreign(clipped(query.key, 40))) },
    { title: "job", value: (query) => jobs.get(query.job_id).label,
      cell: (query) => [swatch(jobs.get(query.job_id).colour), foreign(jobs.get(query.job_id).label)] },
    { title: "verdict", value: verdict, cell: (query) => el("span", { class: `verdict ${verdict(query)}` }, verdict(query)) },
    { title: "answer", value: (query) => query.answer, cell: (query) => query.answer === null ? "\u2013" : foreign(clipped(query.answer, 40)) },
    { title: "reference", value: (query) => query.reference, cell: (query) => query.reference === null ? "\u2013" : foreign(clipped(query.reference, 40)) },
    { title: "votes", kind: "number", value: (query) => query.voters ? query.votes / query.voters : null,
      cell: (query) => query.voters ? `${query.votes} of ${query.voters}` : "\u2013" },
    { title: "score", kind: "number", value: (query) => query.score, cell: (query) => query.score === null ? "\u2013" : query.score.toFixed(2) },
    { title: "tokens", kind: "number", value: (query) => query.tokens, cell: (query) => count(query.tokens) },
    { title: "prompt", value: (query) => query.prompt, cell: (query) => foreign(clipped(query.prompt.replace(/\s+/g, " "), 70), "span", { class: "excerpt" }) },
  ];
  const among = (name, label, values) => choice(label, [["", "all"], ...values], (value) => { wanted[name] = value; rows.draw(); });
  const distinct = (of) => [...new Set(report.queries.map(of))].map((one) => [one, one]);
  const rows = table({
    label: "Answers", columns, rows: report.queries,
    keep: (query) => (!wanted.job || String(query.job_id) === wanted.job) && (!wanted.verdict || verdict(query) === wanted.verdict)
      && (!wanted.reason || query.reason === wanted.reason),
    controls: [
      among("job", "Job", report.jobs.map((job) => [String(job.job_id), job.label])),
      among("verdict", "Verdict", distinct(verdict)),
      report.queries.some((query) => query.reason) ? among("reason", "Shown as", distinct((query) => query.reason)) : null,
    ].filter(Boolean),
  });

  function open(query) {
    shownQuery = query;
    dialog.replaceChildren(...details(query));
    dialog.scrollTop = 0;
    if (!dialog.open) dialog.showModal();
    dialog.querySelector("#query-title").focus();
  }

  function go(by) {
    const listed = rows.chosen();
    const next = listed[listed.indexOf(shownQuery) + by];
    if (next) open(next);
  }

  function details(query) {
    const job = jobs.get(query.job_id);
    const left = query.candidates_left_out;
    const costs = [
      ["samples", query.samples, whole], ["tokens", query.tokens, whole], ["FLOPs", query.flops_canonical, count],
      ["GPU-seconds", query.gpu_seconds, significantOrUnknown], ["dollars", query.dollars, dollars], ["wasted tokens", query.wasted_tokens || undefined, whole],
    ].filter(([, value]) => value !== undefined);
    return [
      el("header", {},
        el("h2", { id: "query-title", tabindex: "-1" }, foreign(query.key), " ", el("small", {}, swatch(job.colour), foreign(job.label))),
        el("div", { class: "buttons" },
          el("button", { type: "button", onclick: () => go(-1) }, "Previous"), el("button", { type: "button", onclick: () => go(1) }, "Next"),
          el("button", { type: "button", onclick: () => dialog.close() }, "Close"))),
      el("h3", {}, "Problem"), foreign(query.prompt, "pre", { class: "prompt" }),
      el("dl", { class: "facts" },
        fact("answer", query.answer === null ? "none" : foreign(query.answer)),
        fact("reference", query.reference === null ? "none" : foreign(query.reference)),
        fact("verdict", el("span", { class: `verdict ${verdict(query)}` }, verdict(query))),
        query.voters ? fact("votes", `${query.votes} of ${query.voters}`) : null,
        query.score === null ? null : fact("verifier score", query.score.toFixed(3)),
        query.stopped ? fact("ended", query.stopped) : null,
        query.error ? fact("error", foreign(query.error)) : null,
        costs.map(([name, value, show]) => fact(name, show(value)))),
      el("h3", {}, `Candidates (${query.candidates.length}${left ? ` of ${query.candidates.length + left}` : ""})`),
      query.candidates.length ? candidateTree(query, job.specification?.template?.step_separator || "\n\n")
        : el("p", { class: "note" }, "None is kept."),
      left ? el("p", { class: "note" }, `The last ${left} are left out; tts-jobs show has all of them.`) : null,
    ];
  }

  const cut = report.queries_left_out
    ? el("p", { class: "warning" }, `${whole(report.queries_left_out)} more answers were chosen and left out, so that this file stays below 10 MB.`)
    : null;
  return section("answers", "Answers", "Answers",
    "A choice, not all: problems that jobs disagree on, problems that none got right, and a sample. Open one to see its candidates.",
    cut, rows.node, dialog);
}

function significantOrUnknown(value) {
  return value === null ? "unknown" : significant(value);
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

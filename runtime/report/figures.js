// Draws each figure of the page with Observable Plot from the data beside it, again when its room or a choice changes.
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const COLOURS = ["var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)", "var(--s6)", "var(--s7)", "var(--s8)"];
  const VERDICTS = { passed: "var(--good)", failed: "var(--bad)", undecided: "var(--doubt)", "not judged": "var(--calm)" };
  const NARROW = 560; // pixels, below which a plot is drawn for a phone

  const several = (rows, key) => new Set(rows.map((row) => row[key])).size > 1;
  const number = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
  const bytes = (count) => (count >= 1e5 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e3).toFixed(1)} kB`);
  const milliseconds = (value) => `${value >= 1000 ? value.toFixed(0) : Number(value.toPrecision(3))} ms`;
  // Tens that are read as 1, 2, 5: an axis of few decades has more to say than its powers of ten.
  const logarithmic = (values) => d3.max(values) / d3.min(values) > 8;
  // Where all values are the same an axis needs some room to say so.
  function reach(values, least) {
    const [low, high] = d3.extent(values.filter((value) => value !== null && value !== undefined));
    const more = Math.max(0, least - (high - low)) / 2;
    return [low - more, high + more];
  }
  const common = (width) => ({ width, marginTop: 24, style: { overflow: "visible" } });

  // Points that no other beats in both: cheaper and at least as good.
  function frontier(rows, cost) {
    const kept = [];
    for (const row of d3.sort(rows, (a) => a[cost], (a) => -a.mAP))
      if (!kept.length || row.mAP > kept[kept.length - 1].mAP) kept.push(row);
    return kept;
  }

  function tradeoff(data, width, cost, label, told) {
    const rows = data.filter((row) => row.mAP !== null && row[cost] !== null);
    if (!rows.length) return null;
    const colour = several(rows, "device") ? "device" : "backend";
    const log = logarithmic(rows.map((row) => row[cost]));
    // A phone has room for the powers of ten.
    const marked = log && width < NARROW ? (value) => (/^1(e|$)/.test(value.toExponential()) ? told(value) : "") : told;
    const fronts = d3.groups(rows, (row) => (cost === "bytes" ? "" : row.device)).map(([, own]) => frontier(own, cost));
    return Plot.plot({
      ...common(width), height: Math.min(388, Math.max(288, width * 0.62)), inset: 14, marginLeft: 44, marginRight: 30, marginBottom: 40,
      x: { type: log ? "log" : "linear", label: `${label} →`, grid: true, ticks: width < NARROW ? 4 : 6, tickFormat: marked, nice: true },
      y: { label: "↑ mAP", grid: true, nice: true, domain: reach(rows.map((row) => row.mAP), 1) },
      color: { domain: [...new Set(rows.map((row) => row[colour]))], range: COLOURS, legend: true },
      symbol: { legend: several(rows, "precision") },
      marks: [
        fronts.map((own) => Plot.line(own, { x: cost, y: "mAP", stroke: "var(--faint)", strokeDasharray: "3 4", curve: "step-after" })),
        cost === "p90_ms" ? Plot.ruleY(rows, { x1: "p90_low", x2: "p90_high", y: "mAP", stroke: colour, strokeWidth: 1.5 }) : null,
        Plot.dot(rows, { x: cost, y: "mAP", fill: colour, stroke: "var(--paper)", symbol: "precision", r: 6.5 }),
        width < NARROW || fronts.length > 1 ? null : Plot.text(fronts[0], { x: cost, y: "mAP", text: "artifact", dy: -14, stroke: "var(--raised)", strokeWidth: 4, fill: "var(--ink)" }),
        Plot.tip(rows, Plot.pointer({
          x: cost, y: "mAP",
          title: (row) => [row.artifact, row.device, `mAP ${number(row.mAP, 2)}${row.elsewhere ? " (another device's)" : ""}`,
            row.p90_ms === null ? null : `p90 ${milliseconds(row.p90_ms)}${row.disturbed ? " (disturbed)" : ""}`, bytes(row.bytes), row.verdict].filter(Boolean).join("\n"),
        })),
      ],
    });
  }

  // Rows of several devices below each other, a line of their own for each device's name.
  function listed(rows) {
    const lines = [], heads = [];
    for (const [device, own] of d3.group(rows, (row) => row.device)) {
      if (several(rows, "device")) heads.push({ device, y: lines.length + heads.length });
      for (const row of own) lines.push({ ...row, y: lines.length + heads.length });
    }
    return { lines, heads, count: lines.length + heads.length };
  }

  function drops(data, width) {
    const rows = data.filter((row) => row.drop !== null);
    if (!rows.length) return null;
    const { lines, heads, count } = listed(rows);
    const narrow = width < NARROW, longest = d3.max(lines, (row) => row.artifact.length);
    const colour = (row) => VERDICTS[row.verdict] ?? "var(--faint)";
    const left = { y: "y", frameAnchor: "left", lineAnchor: "middle" };
    return Plot.plot({
      ...common(width), height: 60 + count * (narrow ? 40 : 27), marginLeft: narrow ? 6 : Math.min(250, 6.8 * longest + 18), marginRight: 92, marginBottom: 36,
      x: { label: "mAP points lost →", grid: true, nice: true, domain: reach([0, ...lines.flatMap((row) => [row.drop, row.low, row.high, row.limit])], 0.1), ticks: narrow ? 4 : 8 },
      y: { axis: null, domain: [count - 0.4, -0.6] },
      marks: [
        Plot.ruleX([0], { stroke: "var(--ink)", strokeOpacity: 0.45 }),
        Plot.ruleX(lines.filter((row) => row.limit !== null), { x: "limit", y1: (row) => row.y - 0.42, y2: (row) => row.y + 0.42, stroke: "var(--bad)", strokeDasharray: "2 2", strokeWidth: 2 }),
        Plot.ruleY(lines.filter((row) => row.low !== null), { x1: "low", x2: "high", y: "y", stroke: colour, strokeWidth: 5, strokeLinecap: "round", strokeOpacity: 0.5 }),
        Plot.dot(lines, { x: "drop", y: "y", fill: colour, stroke: "var(--paper)", r: 5 }),
        Plot.text(lines, { ...left, text: "artifact", ...(narrow ? { textAnchor: "start", dy: -13 } : { textAnchor: "end", dx: -12 }) }),
        Plot.text(lines, { ...left, frameAnchor: "right", text: "verdict", textAnchor: "start", dx: 10, fill: colour }),
        Plot.text(heads, { ...left, text: "device", textAnchor: "start", dx: narrow ? 0 : 6, fontWeight: 650, fill: "var(--ink)", stroke: "var(--raised)", strokeWidth: 4 }),
        Plot.tip(lines, Plot.pointerY({ x: "drop", y: "y",
          title: (row) => `${row.artifact}\n${row.device}\n${number(row.drop, 3)} [${number(row.low, 3)}, ${number(row.high, 3)}]${row.limit === null ? "" : `\ngate ${row.limit}`}\n${row.verdict}` })),
      ],
    });
  }

  function classes(data, width, choices) {
    const chosen = data[Number(choices.artifact)];
    const orders = {
      drop: (row) => -Math.abs(row.drop ?? 0), positives: (row) => -row.positives, ap: (row) => -row.reference, name: (row) => row.name,
    };
    const rows = d3.sort(chosen.classes, orders[choices.order]);
    const margin = Math.min(width * 0.34, 7 * d3.max(rows, (row) => row.name.length) + 16);
    return Plot.plot({
      ...common(width), height: 70 + rows.length * 21, marginLeft: margin, marginBottom: 40,
      x: { label: "AP →", grid: true, axis: "both", nice: true },
      y: { label: null, domain: rows.map((row) => row.name), tickFormat: (name) => (7 * name.length > margin ? `${name.slice(0, margin / 7.5)}…` : name), tickSize: 0 },
      color: { type: "ordinal", legend: true, domain: ["reference", chosen.artifact], range: ["var(--faint)", "var(--s1)"] },
      marks: [
        Plot.ruleY(rows, { x1: "reference", x2: "ap", y: "name", strokeWidth: 3, stroke: (row) => (row.ap < row.reference ? "var(--bad)" : "var(--good)"), strokeOpacity: 0.55 }),
        Plot.dot(rows, { x: "reference", y: "name", r: 4, fill: "var(--paper)", stroke: "var(--faint)", strokeWidth: 2 }),
        Plot.dot(rows, { x: "ap", y: "name", r: 4, fill: "var(--s1)" }),
        Plot.tip(rows, Plot.pointerY({ x: "ap", y: "name",
          title: (row) => `${row.name}\nAP ${number(row.ap, 2)}, reference ${number(row.reference, 2)}\ndrop ${number(row.drop, 3)} [${number(row.low, 3)}, ${number(row.high, 3)}]\n${row.positives} positives` })),
      ],
    });
  }

  function latency(data, width) {
    const colour = (i) => COLOURS[i % COLOURS.length];
    const hills = data.flatMap((row, i) => row.places.map((ms, k) => ({ artifact: row.artifact, ms, height: row.heights[k], colour: colour(i) })))
      .filter((hill) => hill.ms > 0); // a density's slope may reach below
    const marks = data.map((row, i) => ({ ...row, middle: row.p50_ms ?? d3.mean(row.places), colour: colour(i) }));
    const log = logarithmic(marks.map((row) => row.middle));
    const [first, last] = d3.extent([...hills.map((hill) => hill.ms), ...marks.map((row) => row.middle)]);
    const away = (row) => (row.middle > (log ? Math.sqrt(first * last) : (first + last) / 2) ? "left" : "right"); // from the hill
    const within = marks.filter((row) => row.p90_ms !== null && row.p90_ms <= last); // one far out would leave the hills no room
    return Plot.plot({
      ...common(width), height: 56 + data.length * 62, marginLeft: 10, marginRight: 14, marginBottom: 34,
      x: { type: log ? "log" : "linear", domain: [first, last], label: "milliseconds →", grid: true, ticks: width < NARROW ? 4 : 8, tickFormat: (ms) => Number(ms.toPrecision(3)) },
      y: { axis: null, domain: [0, 1] },
      fy: { axis: null, label: null, domain: data.map((row) => row.artifact), padding: 0.16 },
      marks: [
        Plot.areaY(hills, { x: "ms", y: "height", fy: "artifact", z: "artifact", fill: "colour", fillOpacity: 0.28 }),
        Plot.lineY(hills, { x: "ms", y: "height", fy: "artifact", z: "artifact", stroke: "colour", strokeWidth: 1.5 }),
        Plot.ruleX(within, { x: "p90_ms", fy: "artifact", stroke: "colour", strokeDasharray: "3 3" }),
        Plot.dot(marks.filter((row) => row.p50_ms !== null), { x: "p50_ms", y: 0, fy: "artifact", fill: "colour", stroke: "var(--paper)", r: 5 }),
        ...["left", "right"].map((side) => Plot.text(marks.filter((row) => away(row) === side), {
          fy: "artifact", frameAnchor: `top-${side}`, dy: -2,
          text: (row) => `${row.artifact}${row.p90_ms === null ? "" : `  p90 ${milliseconds(row.p90_ms)}`}`,
        })),
      ],
    });
  }

  function reliability(data, width, choices) {
    const shown = data.filter((curve) => curve.device === choices.device);
    const rows = shown.flatMap((curve) => curve.bins.map((bin) => ({ ...bin, artifact: curve.artifact, ece: curve.ece })));
    const side = Math.min(width, 520);
    return Plot.plot({
      ...common(side), height: side + 10, marginLeft: 44, marginBottom: 40, inset: 6,
      x: { label: "probability →", domain: [0, 1], grid: true }, y: { label: "↑ comes true", domain: [0, 1], grid: true },
      r: { range: [0, 9], type: "sqrt" },
      color: { legend: true, domain: shown.map((curve) => curve.artifact), range: COLOURS },
      marks: [
        Plot.line([[0, 0], [1, 1]], { stroke: "var(--faint)", strokeDasharray: "4 4" }),
        Plot.lineY(rows, { x: "confidence", y: "accuracy", stroke: "artifact", strokeWidth: 1.75 }),
        Plot.dot(rows, { x: "confidence", y: "accuracy", fill: "artifact", fillOpacity: 0.65, r: "count" }),
        Plot.tip(rows, Plot.pointer({ x: "confidence", y: "accuracy",
          title: (row) => `${row.artifact}\nsays ${number(row.confidence, 3)}, comes true ${number(row.accuracy, 3)}\n${row.count.toLocaleString("en")} labels\nECE ${number(row.ece, 2)}` })),
      ],
    });
  }

  const DRAW = {
    latency_tradeoff: (data, width) => tradeoff(data, width, "p90_ms", "p90 latency, ms", (ms) => Number(ms.toPrecision(3))),
    size_tradeoff: (data, width) => tradeoff(data, width, "bytes", "size", bytes),
    drops, classes, latency, reliability,
  };

  const room = (box) => box.clientWidth - 2 * Number.parseFloat(getComputedStyle(box).paddingLeft);

  function draw(box) {
    const name = box.dataset.figure, figure = box.closest("figure");
    const choices = Object.fromEntries([...figure.querySelectorAll("[data-choice]")].map((one) => [one.dataset.choice, one.value]));
    figure.classList.add("drawn");
    const plot = (DRAW[name] ?? DRAW[name.replace(/_\d+$/, "")])(figures[name], Math.max(260, room(box)), choices);
    figure.classList.toggle("drawn", plot !== null);
    if (plot === null) return;
    for (const svg of plot.matches("svg") ? [plot] : plot.querySelectorAll(":scope > svg")) {
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", box.dataset.label);
    }
    box.replaceChildren(plot);
  }

  const widths = new WeakMap();
  const seen = new ResizeObserver((entries) => {
    for (const { target } of entries)
      if (target.clientWidth && widths.get(target) !== target.clientWidth) {
        widths.set(target, target.clientWidth);
        draw(target);
      }
  });
  for (const box of document.querySelectorAll("[data-figure]")) {
    draw(box);
    widths.set(box, box.clientWidth);
    seen.observe(box);
    box.closest("figure").addEventListener("change", () => draw(box));
  }

  // Paper has no tables to unfold.
  addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach((one) => { one.open = true; one.dataset.folded = ""; }));
  addEventListener("afterprint", () => document.querySelectorAll("details[data-folded]").forEach((one) => { one.open = false; delete one.dataset.folded; }));
})();

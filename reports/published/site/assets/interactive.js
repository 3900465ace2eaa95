"use strict";
// Sorts and filters tables, hides contenders in figures, makes logarithmic axes linear. The page
// says all that it says without this; nothing is asked of any network.
(() => {
  const SORTABLE_FROM = 2, FILTER_FROM = 8;
  const PLAIN = /^[-+]?(?:\d[\d,]*)?\.?\d+(?:e[-+]?\d+)?$/;

  function make(tag, attributes, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  }

  // A cell's words, without the coloured sign in front of a contender's name.
  const textOf = (cell) => !cell ? "" : [...cell.childNodes]
    .filter((node) => !node.classList?.contains("mark")).map((node) => node.textContent).join("").trim();

  // ---- tables

  function worth(cell) {
    if (!cell) return null;
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    const text = textOf(cell);
    return PLAIN.test(text) ? Number(text.replaceAll(",", "")) : null;
  }

  // Figures by size, words by the alphabet, and what is neither (a dash) last either way.
  function sorted(rows, column, down) {
    const keyed = rows.map((row, place) => {
      const cell = row.cells[column];
      return { row, place, number: worth(cell), text: textOf(cell) };
    });
    const figures = keyed.filter((one) => one.number !== null).length * 2 > keyed.length;
    const empty = (one) => (figures ? one.number === null : one.text === "" || one.text === "–");
    keyed.sort((a, b) => {
      if (empty(a) || empty(b)) return empty(a) - empty(b) || a.place - b.place;
      const order = figures ? a.number - b.number
        : a.text.localeCompare(b.text, "en", { numeric: true });
      return (down ? -order : order) || a.place - b.place;
    });
    return keyed.map((one) => one.row);
  }

  function sortable(table) {
    const body = table.tBodies[0], original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!textOf(head)) return;
      const button = make("button", { type: "button", class: "sort" }, ...head.childNodes);
      button.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        const now = { ascending: "descending", descending: "" }[was] ?? "ascending";
        if (now) head.setAttribute("aria-sort", now);
        body.append(...(now ? sorted(original, column, now === "descending") : original));
      });
      head.append(button);
    });
  }

  function filterable(table) {
    const rows = [...table.tBodies[0].rows], name = table.caption?.textContent.trim() || "table";
    const text = make("input", {
      type: "search", placeholder: "filter rows", "aria-label": `Filter rows: ${name}`,
    });
    const tools = make("div", { class: "tools" }, text), choices = [];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.dataset.filter === undefined) return;
      const said = (row) => textOf(row.cells[column]);
      const values = [...new Set(rows.map(said))].sort((a, b) =>
        a.localeCompare(b, "en", { numeric: true }));
      const label = textOf(head);
      const choice = make("select", { "aria-label": `${label}: ${name}` },
        new Option(`${label}: all`, "*"), ...values.map((value) => new Option(value || "–", value)));
      choices.push((row) => choice.value === "*" || said(row) === choice.value);
      choice.addEventListener("change", apply);
      tools.append(choice);
    });
    const count = make("output", {});
    tools.append(count);
    text.addEventListener("input", apply);

    function apply() {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        const fits = choices.every((fit) => fit(row)) && words.every((w) => content.includes(w));
        row.hidden = !fits;
        shown += fits;
      }
      count.value = shown === rows.length ? "" : `${shown} of ${rows.length} rows`;
    }
    table.parentElement.before(tools);
    // A link to a row that is filtered away shows all rows again.
    table.addEventListener("unfilter", () => {
      text.value = "";
      tools.querySelectorAll("select").forEach((choice) => { choice.value = "*"; });
      apply();
    });
  }

  // ---- figures

  function pickable(figure, tools) {
    const series = [...figure.querySelectorAll("[data-contender], [data-key]")];
    const of = (node) => node.dataset.contender ?? node.dataset.key;
    const names = [...new Set(series.map(of))].filter(Boolean);
    if (names.length < 2) return;
    for (const name of names) {
      const box = make("input", { type: "checkbox" });
      box.checked = true;
      box.addEventListener("change", () => {
        for (const node of series.filter((one) => of(one) === name)) {
          if (node.dataset.key !== undefined) node.style.opacity = box.checked ? "" : "0.25";
          else node.style.display = box.checked ? "" : "none";
        }
      });
      tools.append(make("label", {}, box, name));
    }
  }

  // Along one axis: where a point at p on the logarithmic scale stands on a linear one from 0.
  function straightened([from, to, low, high]) {
    return (p) => {
      const value = low * (high / low) ** ((p - from) / (to - from));
      return from + (to - from) * (value / high);
    };
  }

  function moved(node, name, map) {
    const was = node.getAttribute(name), saved = `data-log-${name}`;
    if (was === null) return;
    if (!node.hasAttribute(saved)) node.setAttribute(saved, was);
    const first = node.getAttribute(saved);
    node.setAttribute(name, map ? map(first) : first);
  }

  function relabel(ticks, along, map) {
    let last = Infinity;
    const placed = ticks.map((tick) => [tick, tick.querySelector("use")]).filter(([, use]) => use);
    const at = ([, use]) => Number(use.getAttribute(`data-log-${along}`) ?? use.getAttribute(along));
    const outward = along === "x" ? (one) => -at(one) : at;
    for (const one of placed.sort((a, b) => outward(a) - outward(b))) {
      const there = map ? map(at(one)) : at(one), shift = there - at(one);
      const room = !map || Math.abs(there - last) > (along === "x" ? 30 : 11);
      one[0].setAttribute("transform",
        along === "x" ? `translate(${shift} 0)` : `translate(0 ${shift})`);
      one[0].style.display = room ? "" : "none";
      if (room) last = there;
    }
  }

  function rescale(axes, along, linear) {
    const spec = JSON.parse(axes.dataset.axes)[along];
    if (!spec) return;
    const map = linear ? straightened(spec) : null, index = along === "x" ? 0 : 1;
    const point = map && ((text) => String(map(Number(text))));
    const path = map && ((text) => text.replace(/(-?[\d.]+) (-?[\d.]+)/g, (_, x, y) => {
      const both = [x, y];
      both[index] = map(Number(both[index])).toFixed(2);
      return both.join(" ");
    }));
    for (const series of axes.querySelectorAll("[data-contender]")) {
      series.querySelectorAll("use").forEach((use) => moved(use, along, point));
      series.querySelectorAll("path:not(defs path)").forEach((line) => moved(line, "d", path));
    }
    relabel([...axes.querySelectorAll(`[data-tick="${along}"]`)], along, map);
  }

  function scalable(figure, tools) {
    const axes = [...figure.querySelectorAll("[data-axes]")];
    const ways = ["x", "y"].filter((along) => axes.some((one) => JSON.parse(one.dataset.axes)[along]));
    if (!ways.length) return;
    const name = figure.querySelector("figcaption b")?.textContent ?? "figure";
    // One way at a time: the path of a line holds both of its coordinates.
    const choice = make("select", { "aria-label": `Axes: ${name}` }, new Option("logarithmic axes", ""),
      ...ways.map((along) => new Option(`linear ${along === "x" ? "horizontal" : "vertical"} axis`, along)));
    choice.addEventListener("change", () => axes.forEach((one) => {
      ways.forEach((along) => rescale(one, along, false));
      if (choice.value) rescale(one, choice.value, true);
    }));
    tools.append(choice);
  }

  // ---- links into what is folded away or filtered out

  // An address typed by hand or cut short may end within a %-sequence.
  function named() {
    try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; }
  }

  function reveal() {
    const target = document.getElementById(named());
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      fold.open = true;
    }
    if (target.hidden) target.closest("table")?.dispatchEvent(new Event("unfilter"));
    target.scrollIntoView();
  }

  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    if (!table.tHead || !body) continue;
    if (body.rows.length >= FILTER_FROM) filterable(table);
    if (body.rows.length >= SORTABLE_FROM) sortable(table);
  }
  for (const figure of document.querySelectorAll("figure")) {
    const tools = make("div", { class: "tools", role: "group", "aria-label": "What the figure shows" });
    pickable(figure, tools);
    scalable(figure, tools);
    if (tools.childElementCount) figure.querySelector(".panel")?.before(tools);
  }
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
})();

// Parallel coordinates: a line a design on a canvas, axes and brushes over it. A brush is the column's filter.

const AXIS_WIDTH = 78;
const MARGIN = { top: 74, bottom: 40, left: 24, right: 100 }; // names lean to the right

const varying = columns.filter(each => (each.choices ? each.levels.length > 1 : each.numbers.length > 1));
const parallelShown = new Set(varying.filter(each => each.group === "field" || each.objective).map(each => each.key));

/** Where values lie on an axis, 0 (bottom) to 1; what is no number of a range lies below it, at null. */
function axisScale(each) {
  if (each.choices) {
    const places = new Map(each.levels.map((level, index) => [level, each.levels.length > 1 ? index / (each.levels.length - 1) : 0.5]));
    return { at: value => places.get(value) ?? null, ticks: each.levels.map(level => [places.get(level), shown(level)]) };
  }
  const [low, high] = [each.numbers[0], each.numbers.at(-1)];
  const log = low > 0 && high / low > 30;
  const bend = log ? Math.log : value => value;
  const span = bend(high) - bend(low) || 1;
  const at = value => (isNumber(value) ? (bend(value) - bend(low)) / span : null);
  const unbend = log ? Math.exp : value => value;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(part => [part, brief(unbend(bend(low) + part * span))]);
  return { at, ticks };
}

/** A tick's number, in few signs. */
const brief = value => value.toLocaleString("en-US", { notation: Math.abs(value) >= 10000 ? "compact" : "standard", maximumSignificantDigits: 3 });

function buildParallel() {
  const box = byId("parallel");
  const canvas = element("canvas", { "aria-hidden": "true" });
  const drawing = (name, attributes = {}, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const svg = drawing("svg");
  box.append(canvas, svg);
  const scales = new Map(varying.map(each => [each.key, axisScale(each)]));
  let axes = [];

  /** Places of the axes, and of values on them, for the room there is. */
  function measure() {
    const chosen = varying.filter(each => parallelShown.has(each.key));
    const room = box.parentElement.clientWidth;
    const width = Math.max(room, MARGIN.left + MARGIN.right + (chosen.length - 1) * AXIS_WIDTH);
    const height = box.clientHeight;
    box.style.width = `${width}px`;
    const step = chosen.length > 1 ? (width - MARGIN.left - MARGIN.right) / (chosen.length - 1) : 0;
    axes = chosen.map((each, index) => ({ each, scale: scales.get(each.key), x: chosen.length > 1 ? MARGIN.left + index * step : width / 2 }));
    return { width, height, bottom: height - MARGIN.bottom };
  }

  const heightOf = (part, bottom) => (part === null ? bottom + 16 : bottom - part * (bottom - MARGIN.top));

  function drawLines() {
    const { width, height, bottom } = measure();
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const lines = (members, ink, alpha, thick) => {
      pen.strokeStyle = ink;
      pen.globalAlpha = alpha;
      pen.lineWidth = thick;
      for (const design of members) {
        pen.beginPath();
        for (const { each, scale, x } of axes) pen.lineTo(x, heightOf(scale.at(each.values[design.index]), bottom));
        pen.stroke();
      }
    };
    const kept = designs.filter(design => passing[design.index]);
    const alpha = Math.max(0.06, Math.min(0.55, 60 / Math.max(1, kept.length)));
    const out = designs.filter(design => !passing[design.index]);
    lines(out, colour("faint"), Math.max(0.1, Math.min(0.6, 80 / Math.max(1, out.length))), 1);
    lines(kept.filter(design => !design.front), colour("design"), alpha, 1);
    lines(kept.filter(design => design.front), colour("front"), 0.7, 1.4);
    if (selection.design) lines([selection.design], colour("select"), 1, 3);
    drawBrushes(bottom);
  }

  function drawAxes() {
    const { width, height, bottom } = measure();
    svg.replaceChildren();
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    for (const { each, scale, x } of axes) {
      const name = drawing("text", { class: "name", transform: `translate(${x - 4} ${MARGIN.top - 14}) rotate(-22)`, role: "button", tabindex: 0, "aria-label": `${each.name}: go to its filter` }, each.name.length > 20 ? `${each.name.slice(0, 19)}…` : each.name);
      name.append(drawing("title", {}, titleOf(each)));
      const go = () => byId("filters").querySelector(`[data-column="${CSS.escape(each.key)}"] input`)?.focus();
      name.addEventListener("click", go);
      name.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go(); } });
      svg.append(name, drawing("line", { class: "axis", x1: x, x2: x, y1: MARGIN.top, y2: bottom }));
      for (const [part, text] of scale.ticks) svg.append(drawing("text", { x: x + 5, y: heightOf(part, bottom) + 4 }, text.length > 11 ? `${text.slice(0, 10)}…` : text));
      if (each.missing && !each.choices) svg.append(drawing("text", { x: x + 5, y: bottom + 20 }, "no number"));
      svg.append(drawing("rect", { class: "brush", "data-brush": each.key, x: x - 6, width: 12, y: 0, height: 0 }));
      svg.append(grip(each, scale, x, bottom));
    }
    drawLines();
  }

  function drawBrushes(bottom) {
    for (const { each, scale } of axes) {
      const brush = svg.querySelector(`[data-brush="${CSS.escape(each.key)}"]`);
      const filter = filters.get(each.key);
      if (!brush) continue;
      const kept = !filter ? [] : filter.allowed ? [...filter.allowed].filter(level => level !== null) : [each.numbers[filter.low], each.numbers[filter.high]];
      const places = kept.map(value => heightOf(scale.at(value), bottom));
      brush.setAttribute("y", places.length ? Math.min(...places) - 4 : 0);
      brush.setAttribute("height", places.length ? Math.max(...places) - Math.min(...places) + 8 : 0);
    }
  }

  /** The part of an axis that takes the pointer: a drag filters, a click clears. */
  function grip(each, scale, x, bottom) {
    const made = drawing("rect", { class: "grip", "data-axis": each.key, x: x - 14, width: 28, y: MARGIN.top - 8, height: bottom - MARGIN.top + 16 });
    const partAt = event => (bottom - (event.clientY - svg.getBoundingClientRect().top)) / (bottom - MARGIN.top);
    let start = null;
    made.addEventListener("pointerdown", event => { start = partAt(event); made.setPointerCapture(event.pointerId); });
    made.addEventListener("pointermove", event => { if (start !== null && Math.abs(partAt(event) - start) > 0.01) brushTo(each, scale, start, partAt(event)); });
    made.addEventListener("pointerup", event => {
      if (start !== null && Math.abs(partAt(event) - start) <= 0.01) clearFilter(each);
      start = null;
    });
    made.addEventListener("pointercancel", () => { start = null; });
    return made;
  }

  function brushTo(each, scale, from, to) {
    const [low, high] = [Math.min(from, to) - 0.005, Math.max(from, to) + 0.005];
    const values = each.choices ? each.levels : each.numbers;
    const inside = values.map((value, index) => [scale.at(value), index]).filter(([part]) => part >= low && part <= high).map(([, index]) => index);
    if (!inside.length) return;
    if (each.choices) setAllowed(each, new Set(inside.map(index => each.levels[index])));
    else setRange(each, inside[0], inside.at(-1), false);
  }

  const list = element("div", { class: "axes-choice" }, ...varying.map(each => checkbox(each.name, parallelShown.has(each.key), on => {
    if (on) parallelShown.add(each.key); else parallelShown.delete(each.key);
    drawAxes();
  }).label));
  byId("axes").append(list);
  drawAxes();
  let waiting = 0;
  const soon = () => { waiting ||= requestAnimationFrame(() => { waiting = 0; drawLines(); }); };
  listeners.filter.push(soon);
  listeners.selection.push(soon);
  listeners.theme.push(drawAxes);
  new ResizeObserver(calm(drawAxes, 60)).observe(box.parentElement);
}

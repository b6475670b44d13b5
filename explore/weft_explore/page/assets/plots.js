// Figures: what all of them share, and the objectives against each other.

const PLOTLY = { displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

/** `span`: the largest number divided by the smallest, of a logarithmic axis; `largest`: of a linear one. */
const axisStyle = (title, log, span = 1, largest = 0) => ({
  title: { text: short(title), standoff: 8 }, type: log ? "log" : "linear", gridcolor: colour("line"), zerolinecolor: colour("line"),
  linecolor: colour("quiet"), automargin: true, exponentformat: log ? "power" : Math.abs(largest) < 1e5 ? "none" : "SI", ...(log ? (span < 1000 ? { dtick: "D2" } : { nticks: 8 }) : { nticks: 7 }),
});

const layoutStyle = extra => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("ink"), size: 12 },
  margin: { l: 60, r: 16, t: 8, b: 48 }, hovermode: "closest", legend: { orientation: "h", y: -0.22, x: 0 },
  hoverlabel: { bgcolor: colour("card"), bordercolor: colour("quiet"), font: { color: colour("ink") }, align: "left" }, ...extra,
});

const plottable = columns.filter(each => each.numeric && each.numbers.length);

/** Two selects for the axes, two boxes for their scales; calls back on a change. */
function axisChoice(number, x, y, changed) {
  const chosen = { x, y, log: { x: canLog(x), y: canLog(y) } };
  const parts = ["x", "y"].map(axis => {
    const menu = element("select", { "aria-label": `Plot ${number}, ${axis} axis`, change: () => {
      chosen[axis] = columnOf.get(menu.value);
      chosen.log[axis] = canLog(chosen[axis]);
      refresh();
      changed();
    } }, ...plottable.map(each => element("option", { value: each.key, selected: each === chosen[axis] }, titleOf(each))));
    const log = checkbox(`log ${axis}`, chosen.log[axis], on => { chosen.log[axis] = on; changed(); });
    const refresh = () => { log.input.checked = chosen.log[axis]; log.input.disabled = !positive(chosen[axis]); };
    refresh();
    return [element("label", {}, `${axis === "x" ? "across" : "up"} `, menu), log.label];
  });
  return { chosen, controls: element("div", { class: "axes-choice" }, ...parts.flat()) };
}

const positive = each => each.numbers[0] > 0;
const spanOf = each => each.numbers.at(-1) / each.numbers[0];
const canLog = each => positive(each) && spanOf(each) > 10;

function hoverText(design) {
  const lines = [`<b>design ${design.id}</b> ${short(standing(design))}`];
  for (const each of objectives) lines.push(`${short(each.name)}: ${short(shown(each.values[design.index]))} ${short(each.unit ?? "")}`);
  return lines.join("<br>");
}

/** A figure that follows its element's width. */
const keepSize = chart => new ResizeObserver(calm(() => chart.isConnected && Plotly.Plots.resize(chart), 60)).observe(chart);

/** One figure of two columns; what it draws and what it cannot is told below it. */
function buildScatter(number, x, y) {
  const chart = element("div", { class: "chart", role: "img", "aria-label": `Plot ${number}` });
  const note = element("p", { class: "note" });
  const { chosen, controls } = axisChoice(number, x, y, () => draw());
  byId("pareto").append(element("div", {}, controls, chart, note));
  const drawable = (each, log, value) => isNumber(value) && (!log || value > 0);
  const place = design => [chosen.x.values[design.index], chosen.y.values[design.index]];
  const has = design => ["x", "y"].every(axis => drawable(chosen[axis], chosen.log[axis], chosen[axis].values[design.index]));

  function trace(name, members, marker, extra = {}) {
    return {
      name: `${name} (${members.length})`, mode: "markers", type: "scatter", x: members.map(design => place(design)[0]),
      y: members.map(design => place(design)[1]), customdata: members.map(design => design.index), text: members.map(hoverText),
      hovertemplate: "%{text}<extra></extra>", marker, showlegend: members.length > 0, ...extra,
    };
  }

  /** From the predicted to the confirmed values, where both axes have them. */
  function confirmedTraces(there) {
    const moved = there.filter(isConfirmed).map(design => {
      const at = axis => (chosen[axis].group === "value" ? own(design.confirmed.values, chosen[axis].name) : null) ?? chosen[axis].values[design.index];
      return { design, x: at("x"), y: at("y") };
    }).filter(each => ["x", "y"].every(axis => drawable(chosen[axis], chosen.log[axis], each[axis])));
    const path = axis => moved.flatMap(each => [chosen[axis].values[each.design.index], each[axis], null]);
    return [
      { x: path("x"), y: path("y"), mode: "lines", type: "scatter", hoverinfo: "skip", showlegend: false, line: { color: colour("good"), width: 1 } },
      {
        ...trace("confirmed", moved.map(each => each.design), { color: colour("good"), size: 10, symbol: "diamond-open", line: { width: 2 } }),
        x: moved.map(each => each.x), y: moved.map(each => each.y),
      },
    ];
  }

  function traces() {
    const there = designs.filter(has);
    const kept = there.filter(design => passing[design.index]);
    const many = there.length > 1500;
    const of = test => kept.filter(test);
    const selected = there.filter(design => design === selection.design);
    return {
      there,
      traces: [
        trace("filtered out", there.filter(design => !passing[design.index]), { color: colour("faint"), size: many ? 4 : 6 }, { hoverinfo: "skip", hovertemplate: undefined, showlegend: false }),
        trace("infeasible", of(design => design.state === "infeasible"), { color: colour("quiet"), size: 6, symbol: "x-thin-open", opacity: 0.6 }),
        trace("failed", of(design => design.state === "failed"), { color: colour("bad"), size: 6, symbol: "x-thin-open" }),
        trace("designs", of(design => design.state === "done" && !design.front), { color: colour("design"), size: many ? 5 : 7, opacity: many ? 0.55 : 0.8 }),
        trace("front", of(design => design.front), { color: colour("front"), size: 9, line: { color: colour("card"), width: 1 } }),
        ...confirmedTraces(kept),
        trace("could not be confirmed", of(isUnconfirmed), { color: colour("bad"), size: 13, symbol: "x-thin-open", line: { width: 2 } }),
        trace("selected", selected, { color: "rgba(0,0,0,0)", size: 18, line: { color: colour("select"), width: 3 } }, { hoverinfo: "skip", hovertemplate: undefined, showlegend: false }),
      ],
    };
  }

  function draw() {
    const made = traces();
    const there = new Set(made.there);
    const missing = designs.filter(design => !there.has(design));
    const tally = STATES.map(state => [state, missing.filter(design => design.state === state).length]).filter(([, count]) => count);
    note.textContent = missing.length
      ? `${counted(missing.length, "design")} not drawn, without a number${chosen.log.x || chosen.log.y ? " above 0" : ""} here: ${tally.map(([state, count]) => `${count} ${state}`).join(", ")}.`
      : "All designs are drawn.";
    chart.setAttribute("aria-label", `Plot ${number}: ${chosen.y.name} over ${chosen.x.name}, ${counted(made.there.length, "design")}`);
    const layout = layoutStyle({
      xaxis: axisStyle(titleOf(chosen.x), chosen.log.x, spanOf(chosen.x), chosen.x.numbers.at(-1)), yaxis: axisStyle(titleOf(chosen.y), chosen.log.y, spanOf(chosen.y), chosen.y.numbers.at(-1)),
      uirevision: `${chosen.x.key}|${chosen.y.key}|${chosen.log.x}|${chosen.log.y}`, // keeps the zoom while filters move
    });
    Plotly.react(chart, made.traces, layout, PLOTLY);
  }

  draw();
  keepSize(chart);
  chart.on("plotly_click", event => {
    const index = event.points.map(point => point.customdata).find(Number.isInteger);
    if (index !== undefined) select(designs[index]);
  });
  const later = calm(draw, 100);
  listeners.filter.push(later);
  listeners.selection.push(later);
  listeners.theme.push(draw);
}

/** As many figures as there are pairs of objectives, two at most: the reader chooses what they show. */
function buildPareto() {
  const goals = plottable.filter(each => each.objective);
  const [first, second, third] = [...goals, ...plottable.filter(each => !each.objective)];
  if (!first || !second) {
    byId("pareto").append(element("p", { class: "note" }, "There are no two columns of numbers to draw."));
    return;
  }
  buildScatter(1, first, second);
  if (third) buildScatter(2, first, third);
}

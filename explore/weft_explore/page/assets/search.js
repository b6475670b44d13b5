// How the search went: hypervolume over evaluations, what was searched, and why designs failed.

const TOLD = new Set(["version", "weft", "sampler", "seed", "budget"]); // single values that have their place in the list
const REASONS = 12; // so many are listed

function drawVolume(chart) {
  const volumes = exploration.hypervolumes;
  const trace = {
    x: volumes.map((_, index) => index + 1), y: volumes, mode: volumes.length > 1 ? "lines" : "markers", type: "scatter", line: { shape: "hv", color: colour("accent"), width: 2 },
    marker: { color: colour("accent") }, hovertemplate: "%{x} evaluations: %{y:.4s}<extra></extra>",
  };
  Plotly.react(chart, [trace], layoutStyle({ showlegend: false, xaxis: axisStyle("evaluations", false), yaxis: { ...axisStyle("hypervolume", false), exponentformat: "power", rangemode: "tozero" } }), PLOTLY);
}

/** Reasons and how often each was met, the most frequent first. */
function reasonTable() {
  const counts = new Map();
  for (const design of designs.filter(each => each.state !== "done")) {
    const key = JSON.stringify([design.state, design.reason ?? "no reason given"]);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  if (!counts.size) return element("p", { class: "note" }, "No design failed, and none was infeasible.");
  const rows = [...counts].sort((a, b) => b[1] - a[1]).slice(0, REASONS).map(([key, count]) => {
    const [state, reason] = JSON.parse(key);
    return element("tr", {}, cell(count), element("td", { class: "text" }, state), element("td", { class: "reason" }, reason));
  });
  const more = counts.size > REASONS ? [element("p", { class: "note" }, `${counts.size - REASONS} more reasons are in designs.csv.`)] : [];
  return element("div", { class: "scroll" }, element("table", { id: "reasons" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "designs"), element("th", { scope: "col", class: "text" }, "state"), element("th", { scope: "col", class: "text" }, "reason"))), element("tbody", {}, ...rows)), ...more);
}

const goalOf = objective => `${objective.name}, ${objective.goal === "max" ? "as high" : "as low"} as can be${objective.unit && objective.unit !== objective.name ? ` (${objective.unit})` : ""}`;

function searched() {
  const list = value => (Array.isArray(value) ? value.map(shown).join(", ") : shown(value));
  const workloads = exploration.workloads.map(workload => element("div", {}, `${shown(workload.name)}: ${shown(workload.macs)} MACs${isNumber(workload.weight) && workload.weight !== 1 ? ` × ${workload.weight}` : ""}, SHA-256 ${String(workload.sha256).slice(0, 16)}`));
  const space = Object.entries(exploration.space ?? {}).map(([name, choices]) => [name, list(choices)]);
  return element("div", {}, element("h3", {}, "What was searched"), facts([
    ["workloads", element("div", {}, ...workloads)],
    ["objectives", element("div", {}, ...exploration.objectives.map(objective => element("div", {}, goalOf(objective))))],
    ["constraints", exploration.constraints?.length ? element("div", {}, ...exploration.constraints.map(text => element("div", {}, shown(text)))) : "none"],
    ["sampler", shown(exploration.sampler)], ["seed", exploration.seed === undefined ? "no value" : String(exploration.seed)], ["budget", shown(exploration.budget)],
    ["reference point", list(exploration.reference_point)], ["Weft", shown(exploration.weft)],
    ...Object.entries(exploration).filter(([name, value]) => !TOLD.has(name) && (value === null || typeof value !== "object")).map(([name, value]) => [name, shown(value)]),
  ]), element("h3", {}, "The space"), facts(space), element("details", {}, element("summary", {}, "Fields that all designs share"), facts(Object.entries(exploration.fixed).map(([name, value]) => [name, shown(value)]))));
}

function buildSearch() {
  const chart = element("div", { class: "chart", id: "volume", role: "img", "aria-label": "Hypervolume over evaluations" });
  const volume = exploration.hypervolumes
    ? element("figure", {}, element("h3", {}, "Hypervolume over evaluations"), chart, element("figcaption", {}, `${shown(exploration.hypervolumes.at(-1))} in the end, measured from the reference point.`))
    : element("p", { class: "note" }, "Without a reference point there is no hypervolume.");
  const file = name => element("a", { href: name }, name);
  const files = element("p", { class: "note" }, "Beside this page: ", file("designs.csv"), " and ", file("exploration.json"), ".");
  byId("search").append(element("div", { class: "pair" }, element("div", {}, volume, element("h3", {}, "What failed"), reasonTable(), files), searched()));
  if (!exploration.hypervolumes) return;
  drawVolume(chart);
  keepSize(chart);
  listeners.theme.push(() => drawVolume(chart));
}

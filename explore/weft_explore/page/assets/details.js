// The selected design: predicted beside confirmed values, its configuration, and its roofline.

/** Bandwidth and peak of a configuration, in bytes and MACs a cycle. */
function roofs(design) {
  const config = configuration(design);
  return { peak: config.batch * config.block_in * config.block_out, bandwidth: config.axi_data_bits / 8 };
}

/** Layers with what the roofline needs of them; the others have no place in it. */
function rooflinePoints(design) {
  return (design.layers ?? []).filter(layer => layer.macs > 0 && layer.bytes > 0 && layer.cycles > 0)
    .map(layer => ({ ...layer, intensity: layer.macs / layer.bytes, rate: layer.macs / layer.cycles }));
}

function drawRoofline(chart, design) {
  const { peak, bandwidth } = roofs(design);
  const points = rooflinePoints(design);
  const total = points.reduce((sum, point) => sum + point.cycles, 0);
  const ridge = peak / bandwidth;
  const low = Math.min(ridge / 16, ...points.map(point => point.intensity / 2));
  const high = Math.max(ridge * 16, ...points.map(point => point.intensity * 2));
  const largest = [...points].sort((a, b) => b.cycles - a.cycles).slice(0, 4);
  const traces = [
    { name: `${shown(bandwidth)} bytes, ${shown(peak)} MACs a cycle`, x: [low, ridge, high], y: [low * bandwidth, peak, peak], mode: "lines", type: "scatter", hoverinfo: "skip", line: { color: colour("accent"), width: 2 } },
    {
      name: `layers (${points.length}), larger with more cycles`, mode: "markers+text", type: "scatter", x: points.map(point => point.intensity), y: points.map(point => point.rate),
      text: points.map(point => (largest.includes(point) ? short(point.name, 24) : "")), textposition: points.map(point => ["bottom center", "top center", "middle left", "middle right"][Math.max(0, largest.indexOf(point))]),
      hovertext: points.map(point => `<b>${short(point.name)}</b><br>${shown(point.macs)} MACs, ${shown(point.bytes)} bytes, ${shown(point.cycles)} cycles<br>${shown(point.intensity)} MACs a byte, ${shown(point.rate)} MACs a cycle`),
      hovertemplate: "%{hovertext}<extra></extra>", cliponaxis: false,
      marker: { color: colour("front"), opacity: 0.85, size: points.map(point => 7 + 17 * Math.sqrt(point.cycles / total)), line: { color: colour("card"), width: 1 } },
    },
  ];
  Plotly.react(chart, traces, layoutStyle({ xaxis: axisStyle("MACs a byte of DRAM traffic", true, high / low), yaxis: axisStyle("MACs a cycle", true, peak / Math.min(low * bandwidth, ...points.map(point => point.rate))) }), PLOTLY);
}

function layerTable(design) {
  const { peak } = roofs(design);
  const row = layer => element("tr", {}, element("td", { class: "text" }, shown(layer.name)), cell(layer.macs), cell(layer.bytes), cell(layer.cycles),
    cell(layer.macs / layer.cycles || null), cell(isNumber(layer.macs / layer.cycles) ? `${shown(100 * layer.macs / layer.cycles / peak)} %` : null));
  const heads = ["layer", "MACs", "bytes", "cycles", "MACs a cycle", "of the peak"].map((text, index) => element("th", { scope: "col", class: index ? false : "text" }, text));
  return element("details", {}, element("summary", {}, counted(design.layers.length, "layer")),
    element("div", { class: "scroll" }, element("table", { id: "layers" }, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...design.layers.map(row)))));
}

function rooflineOf(design) {
  if (!design.layers?.length) return element("p", { class: "note" }, "The roofline needs what each layer asks for, which is kept of the designs of the front.");
  const chart = element("div", { class: "chart", id: "roofline", role: "img", "aria-label": `Roofline of design ${design.id}` });
  const left = design.layers.length - rooflinePoints(design).length;
  const note = left ? [element("p", { class: "note" }, `${counted(left, "layer")} not drawn, without MACs, bytes or cycles.`)] : [];
  return element("figure", {}, element("h3", {}, "Roofline"), chart, ...note, layerTable(design));
}

/** By how much the confirmed value differs, in per cent of the predicted. */
function difference(predicted, confirmed) {
  if (!isNumber(predicted) || !isNumber(confirmed)) return "";
  if (predicted === confirmed) return "exact";
  if (predicted === 0) return "";
  const part = 100 * (confirmed - predicted) / predicted;
  return `${part > 0 ? "+" : "−"}${shown(Number(Math.abs(part).toPrecision(3)))} %`;
}

function valueTable(design) {
  const confirmed = design.confirmed?.values ?? null;
  const heads = ["", "predicted", ...(confirmed ? ["confirmed", "difference"] : [])];
  const row = each => {
    const predicted = each.values[design.index];
    const real = own(confirmed, each.name);
    const name = element("th", { scope: "row", class: "text" }, titleOf(each));
    return element("tr", {}, name, cell(predicted), ...(confirmed ? [real === null ? element("td", { class: "no" }, "not confirmed") : cell(real), element("td", {}, difference(predicted, real))] : []));
  };
  return element("table", { id: "values" }, element("thead", {}, element("tr", {}, ...heads.map(text => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...[...objectives, ...others].map(row)));
}

const safeFile = design => (/^front\/[\w.-]+\.toml$/.test(design.file ?? "") ? design.file : null);

function configurationOf(design) {
  const file = safeFile(design);
  const name = file ? file.split("/")[1] : `design-${design.id}.toml`;
  const address = URL.createObjectURL(new Blob([toml(design)], { type: "application/toml" }));
  const link = element("a", { class: "download", id: "download", href: address, download: name }, `Download ${name}`);
  const path = file ? element("a", { href: file }, file) : null;
  const records = file && /^front\/[\w.-]+\.jsonl$/.test(design.records ?? "") ? ` --records ${design.records}` : "";
  const commands = `weft compile MODEL.onnx --config ${file ?? name}${records} -o net.weft\nweft synth --config ${file ?? name}${isPacked(design) ? " --packed" : ""}`;
  return element("div", {}, element("h3", {}, "Configuration"),
    element("p", {}, link, ...(path ? [" or beside this page: ", path] : [])),
    element("pre", {}, commands),
    element("details", { open: true }, element("summary", {}, "What varies in this space"), facts(fields.map(each => [each.name, shown(each.values[design.index])]))),
    element("details", {}, element("summary", {}, "All fields"), element("pre", { id: "toml" }, toml(design))));
}

/** Names and values, as a list. */
const facts = pairs => element("dl", { class: "facts" }, ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));

const inPart = design => Object.keys(design.confirmed?.values ?? {}).length > 0;

/** What the search of its schedules brought, where there was one. */
function tuned(design) {
  if (!isNumber(design.untuned_cycles)) return [];
  const cycles = own(design.values, "cycles");
  const gain = isNumber(cycles) && cycles < design.untuned_cycles ? `${difference(design.untuned_cycles, cycles)} by the schedules that were searched for it` : "no better ones were found";
  return [element("p", { class: "note", id: "tuned" }, `With the compiler's own schedules: ${shown(design.untuned_cycles)} cycles; ${gain}.`)];
}

/** Which networks the RTL ran, and the cycles of each: a confirmation may leave out large ones. */
function simulated(design) {
  const ran = design.confirmed?.workloads ?? [];
  if (!ran.length) return [];
  const told = ran.map(one => `${shown(one.name)} ${shown(one.confirmed)} cycles (${difference(one.predicted, one.confirmed) || `predicted ${shown(one.predicted)}`})`);
  return [element("p", { class: "note", id: "simulated" }, `The RTL ran ${ran.length} of ${counted(exploration.workloads.length, "workload")}: ${told.join(", ")}.`)];
}

function headline(design) {
  const parts = [element("strong", {}, `Design ${design.id}`), ` · ${design.state}`];
  if (design.front) parts.push(element("span", { class: "front" }, " · on the front"));
  if (isConfirmed(design)) parts.push(element("span", { class: "good" }, " · confirmed"));
  if (isUnconfirmed(design)) parts.push(element("span", { class: "bad" }, ` · ${inPart(design) ? "confirmed in part" : "could not be confirmed"}: ${design.confirmed.reason}`));
  if (design.reason) parts.push(element("span", { class: "bad" }, ` · ${design.reason}`));
  parts.push(element("span", { class: "note" }, ` · configuration ${String(design.digest).slice(0, 16)}`));
  return element("p", { id: "headline" }, ...parts);
}

function showSelected() {
  const design = selection.design;
  const box = byId("selected");
  const old = byId("download");
  if (old) URL.revokeObjectURL(old.href);
  if (byId("roofline")) Plotly.purge(byId("roofline"));
  if (!design) {
    box.replaceChildren(element("p", { class: "note" }, "No design is selected."));
    return;
  }
  box.replaceChildren(headline(design), element("div", { class: "pair" },
    element("div", {}, element("div", { class: "scroll" }, valueTable(design)), ...tuned(design), ...simulated(design), configurationOf(design)), rooflineOf(design)));
  if (!byId("roofline")) return;
  drawRoofline(byId("roofline"), design);
  keepSize(byId("roofline"));
}

function stepFront(by) {
  const members = front.filter(design => passing[design.index]);
  const byFirst = objectives.length ? [...members].sort((a, b) => compare(objectives[0], a, b)) : members;
  if (!byFirst.length) return;
  const at = byFirst.indexOf(selection.design);
  select(byFirst[at < 0 ? 0 : (at + by + byFirst.length) % byFirst.length]);
}

function buildDetails() {
  for (const [id, by] of [["previous", -1], ["next", 1]]) {
    byId(id).disabled = !front.length;
    byId(id).addEventListener("click", () => stepFront(by));
  }
  listeners.selection.push(showSelected);
  listeners.theme.push(() => byId("roofline") && drawRoofline(byId("roofline"), selection.design));
  showSelected();
}

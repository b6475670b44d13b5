// The exploration: designs, the columns that all views share, and what is selected.

const exploration = JSON.parse(byId("exploration").textContent);
const designs = exploration.designs;
const MANY = 8; // a column of more values than these gets a range, not a choice

const own = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : null);

/** Distinct values in the order in which an axis shows them: numbers by size, then words. */
function distinct(values) {
  const numbers = [...new Set(values.filter(isNumber))].sort((a, b) => a - b);
  const others = [...new Set(values.filter(value => !isNumber(value)))].sort((a, b) => (String(a) < String(b) ? -1 : 1));
  return { numbers, others };
}

/** What a view may show of each design: name, how to get it, and the values there are. */
function column(group, name, get, extra = {}) {
  const values = designs.map(get);
  const { numbers, others } = distinct(values);
  const known = others.filter(value => value !== null && value !== undefined);
  const numeric = numbers.length > 0;
  const choices = !numeric || (numbers.length <= MANY && group === "field");
  return {
    group, name, key: `${group}:${name}`, values, numbers, numeric, choices,
    levels: choices ? [...numbers, ...known] : numbers,
    missing: values.some(value => !isNumber(value)),
    gaps: designs.some(design => design.state !== "failed" && !isNumber(get(design))), // though it did not fail
    ...extra,
  };
}

const objectiveNames = exploration.objectives.map(objective => objective.name);
const objectives = exploration.objectives.map(objective =>
  column("value", objective.name, design => own(design.values, objective.name), { ...objective, objective: true }));
const otherNames = [...new Set(designs.flatMap(design => Object.keys(design.values || {})))].filter(name => !objectiveNames.includes(name));
const others = otherNames.map(name => column("value", name, design => own(design.values, name)));
const fields = exploration.fields.map((name, index) => column("field", name, design => design.config[index]));
const columns = [...objectives, ...others, ...fields];
const columnOf = new Map(columns.map(each => [each.key, each]));
const titleOf = each => (each.unit && each.unit !== each.name ? `${each.name} (${each.unit})` : each.name);

designs.forEach((design, index) => { design.index = index; });
const front = designs.filter(design => design.front);
const isConfirmed = design => Boolean(design.confirmed) && !design.confirmed.reason;
const isUnconfirmed = design => Boolean(design.confirmed && design.confirmed.reason);
const STATES = ["done", "infeasible", "failed"];
const standing = design => [
  design.state, ...(design.front ? ["front"] : []),
  ...(isConfirmed(design) ? ["confirmed"] : isUnconfirmed(design) ? ["could not be confirmed"] : []),
].join(", ");

/** All fields of a design's configuration, in the order of the file; `packed` is how it is built, not what it is. */
function configuration(design) {
  const all = { ...exploration.fixed };
  exploration.fields.forEach((name, index) => { all[name] = design.config[index]; });
  const { packed, ...rest } = all;
  return rest;
}

const isPacked = design => {
  const index = exploration.fields.indexOf("packed");
  return index < 0 ? exploration.fixed.packed : design.config[index];
};

/** The configuration as `weft compile --config` reads it. */
const toml = design => Object.entries(configuration(design))
  .filter(([, value]) => value !== null).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`).join("");

/** Views that follow the selection, and the filters. */
const listeners = { selection: [], filter: [], theme: [] };
const tell = what => listeners[what].forEach(listener => listener());

const selection = { design: null };
function select(design) {
  if (!design || design === selection.design) return;
  selection.design = design;
  history.replaceState(null, "", `#design=${design.id}`);
  tell("selection");
}

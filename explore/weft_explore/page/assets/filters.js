// Filters: one state, shown as controls here and as brushes in the parallel coordinates; every view follows it.

const filters = new Map(); // column key -> {low, high, gaps}: places in column.numbers, or {allowed: Set}
const wanted = { states: new Set(STATES), front: false, confirmed: false };
const passing = designs.map(() => true);
const refreshers = new Map(); // column key -> shows the filter's state in its controls

function passes(design) {
  if (!wanted.states.has(design.state)) return false;
  if (wanted.front && !design.front) return false;
  if (wanted.confirmed && !isConfirmed(design)) return false;
  for (const [key, filter] of filters) {
    const each = columnOf.get(key);
    const value = each.values[design.index];
    if (filter.allowed) {
      if (!filter.allowed.has(value ?? null)) return false;
    } else if (!isNumber(value)) {
      if (!each.gaps || !filter.gaps) return false;
    } else if (value < each.numbers[filter.low] || value > each.numbers[filter.high]) return false;
  }
  return true;
}

function filtersChanged() {
  designs.forEach((design, index) => { passing[index] = passes(design); });
  const kept = passing.filter(Boolean).length;
  const active = filters.size + (wanted.states.size < STATES.length) + wanted.front + wanted.confirmed;
  byId("passing").textContent = `${kept.toLocaleString("en-US")} of ${counted(designs.length, "design")} shown`;
  byId("clear").disabled = !active;
  tell("filter");
}

/** Keep values from `low` to `high` (places in column.numbers); all of them and the gaps is no filter. */
function setRange(each, low, high, gaps) {
  const last = each.numbers.length - 1;
  if (low <= 0 && high >= last && (gaps || !each.gaps)) filters.delete(each.key);
  else filters.set(each.key, { low, high, gaps });
  refreshers.get(each.key)?.();
  filtersChanged();
}

function setAllowed(each, allowed) {
  if (choicesOf(each).every(level => allowed.has(level))) filters.delete(each.key);
  else filters.set(each.key, { allowed });
  refreshers.get(each.key)?.();
  filtersChanged();
}

function clearFilter(each) {
  filters.delete(each.key);
  refreshers.get(each.key)?.();
  filtersChanged();
}

const choicesOf = each => (each.values.some(value => value === null || value === undefined) ? [...each.levels, null] : each.levels);
const rangeOf = each => filters.get(each.key) ?? { low: 0, high: each.numbers.length - 1, gaps: true };
const allowedOf = each => filters.get(each.key)?.allowed ?? new Set(choicesOf(each));

function checkbox(text, checked, change) {
  const input = element("input", { type: "checkbox", change: () => change(input.checked) });
  input.checked = checked;
  return { input, label: element("label", {}, input, text) };
}

function group(each, ...children) {
  const box = element("fieldset", { "data-column": each.key }, element("legend", {}, titleOf(each)), ...children);
  return box;
}

function rangeControl(each) {
  const last = each.numbers.length - 1;
  const slider = (end, text) => {
    const output = element("output");
    const input = element("input", {
      type: "range", min: 0, max: last, step: 1, "aria-label": `${each.name}, ${text}`,
      input: () => {
        const range = rangeOf(each);
        const at = Number(input.value);
        if (end === "low") setRange(each, Math.min(at, range.high), range.high, range.gaps);
        else setRange(each, range.low, Math.max(at, range.low), range.gaps);
      },
    });
    return { input, output, parts: [element("span", {}, end === "low" ? "from" : "to"), input, output] };
  };
  const [low, high] = [slider("low", "from"), slider("high", "to")];
  const box = group(each, element("div", { class: "range" }, ...low.parts, ...high.parts));
  const gaps = checkbox("without a number too", true, on => { const range = rangeOf(each); setRange(each, range.low, range.high, on); });
  if (each.gaps) box.append(gaps.label);
  refreshers.set(each.key, () => {
    const range = rangeOf(each);
    for (const [part, at] of [[low, range.low], [high, range.high]]) {
      part.input.value = at;
      part.output.textContent = shown(each.numbers[at]);
      part.input.setAttribute("aria-valuetext", shown(each.numbers[at]));
    }
    gaps.input.checked = range.gaps;
    box.classList.toggle("active", filters.has(each.key));
  });
  return box;
}

function choiceControl(each) {
  const boxes = choicesOf(each).map(level => ({
    level,
    ...checkbox(shown(level), true, on => {
      const allowed = new Set(allowedOf(each));
      if (on) allowed.add(level); else allowed.delete(level);
      setAllowed(each, allowed);
    }),
  }));
  const box = group(each, element("div", { class: "choices" }, ...boxes.map(made => made.label)));
  refreshers.set(each.key, () => {
    const allowed = allowedOf(each);
    for (const made of boxes) made.input.checked = allowed.has(made.level);
    box.classList.toggle("active", filters.has(each.key));
  });
  return box;
}

function standingControl() {
  const states = STATES.map(state => ({
    state,
    ...checkbox(`${state} (${designs.filter(design => design.state === state).length})`, true, on => {
      if (on) wanted.states.add(state); else wanted.states.delete(state);
      filtersChanged();
    }),
  }));
  const flags = [["front", `front only (${front.length})`], ["confirmed", `confirmed only (${designs.filter(isConfirmed).length})`]]
    .map(([name, text]) => ({ name, ...checkbox(text, false, on => { wanted[name] = on; filtersChanged(); }) }));
  refreshers.set("standing", () => {
    for (const made of states) made.input.checked = wanted.states.has(made.state);
    for (const made of flags) made.input.checked = wanted[made.name];
  });
  const choices = element("div", { class: "choices" }, ...[...states, ...flags].map(made => made.label));
  return element("fieldset", { "data-column": "standing" }, element("legend", {}, "state"), choices);
}

function buildFilters() {
  const form = byId("filters");
  form.addEventListener("submit", event => event.preventDefault());
  form.append(standingControl());
  for (const each of columns) {
    if (each.choices ? choicesOf(each).length < 2 : each.numbers.length < 2 && !each.gaps) continue;
    form.append(each.choices ? choiceControl(each) : rangeControl(each));
  }
  byId("clear").addEventListener("click", () => {
    filters.clear();
    wanted.states = new Set(STATES);
    wanted.front = wanted.confirmed = false;
    refreshers.forEach(refresh => refresh());
    filtersChanged();
  });
  refreshers.forEach(refresh => refresh());
}

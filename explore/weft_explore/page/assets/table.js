// The table of the designs that pass: sorted by any column, a page at a time, walked through by arrow keys.

const PAGE = 100;
const sorting = { key: objectives.length ? objectives[0].key : "id", falling: false };
let page = 0;

/** Numbers by size, then words, then what has no value; ties in the order of evaluation. */
function compare(each, a, b, falling = false) {
  const [x, y] = each ? [each.values[a.index], each.values[b.index]] : [a.id, b.id];
  const rank = value => (isNumber(value) || typeof value === "boolean" ? 0 : value === null || value === undefined ? 2 : 1);
  if (rank(x) !== rank(y)) return rank(x) - rank(y);
  const order = rank(x) === 0 ? x - y : rank(x) === 1 ? String(x).localeCompare(String(y)) : 0;
  return (falling ? -order : order) || a.index - b.index;
}

const tableColumns = [...objectives, ...others, ...fields];
const anyReason = designs.some(design => design.reason || isUnconfirmed(design));

function sorted() {
  const each = columnOf.get(sorting.key);
  const kept = designs.filter(design => passing[design.index]);
  if (sorting.key === "state") {
    const order = kept.map(design => [standing(design), design]).sort((a, b) => a[0].localeCompare(b[0]) || a[1].index - b[1].index).map(([, design]) => design);
    return sorting.falling ? order.reverse() : order;
  }
  return kept.sort((a, b) => compare(each, a, b, sorting.falling));
}

function heading(key, text, unit, kind) {
  const direction = sorting.key !== key ? "none" : sorting.falling ? "descending" : "ascending";
  const button = element("button", { type: "button", click: () => {
    sorting.falling = sorting.key === key && !sorting.falling;
    sorting.key = key;
    page = 0;
    drawTable();
    document.querySelector(`#designs thead [data-key="${CSS.escape(key)}"] button`).focus();
  } }, text);
  return element("th", { scope: "col", class: kind ?? false, "aria-sort": direction, "data-key": key }, button, ...(unit && unit !== text ? [element("span", { class: "unit" }, unit)] : []));
}

function tableRow(design, index) {
  const chosen = design === selection.design;
  const state = element("td", { class: "text" }, design.front ? element("span", { class: "front" }, standing(design)) : standing(design));
  const reason = design.reason ?? (isUnconfirmed(design) ? design.confirmed.reason : "");
  return element("tr", { "data-index": design.index, "aria-selected": String(chosen), tabindex: index === 0 ? 0 : -1 },
    element("td", {}, String(design.id)), state, ...tableColumns.map(each => cell(each.values[design.index])),
    ...(anyReason ? [element("td", { class: "reason" }, reason)] : []));
}

function drawTable() {
  const order = sorted();
  const last = Math.max(0, Math.ceil(order.length / PAGE) - 1);
  page = Math.min(page, last);
  const rows = order.slice(page * PAGE, (page + 1) * PAGE);
  const head = [heading("id", "design"), heading("state", "state", null, "text"), ...tableColumns.map(each => heading(each.key, each.name, each.unit)),
    ...(anyReason ? [element("th", { scope: "col", class: "text" }, "reason")] : [])];
  const table = byId("designs");
  table.tHead.replaceChildren(element("tr", {}, ...head));
  const empty = element("tr", {}, element("td", { class: "text", colspan: head.length }, "No design passes the filters."));
  table.tBodies[0].replaceChildren(...(rows.length ? rows.map(tableRow) : [empty]));
  const turn = (text, to) => element("button", { type: "button", disabled: to < 0 || to > last, click: () => { page = to; drawTable(); } }, text);
  byId("pages").replaceChildren(...(last ? [turn("First", page ? 0 : -1), turn("Previous", page - 1), `${page + 1} of ${last + 1}`, turn("Next", page + 1), turn("Last", page < last ? last : last + 1)] : []));
}

/** Marks the selected row without drawing the table anew. */
function markRow() {
  for (const row of byId("designs").tBodies[0].rows) {
    row.setAttribute("aria-selected", String(Number(row.dataset.index) === selection.design?.index));
  }
}

function walk(event) {
  const row = event.target.closest("tr[data-index]");
  if (!row) return;
  const to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
  if (to) {
    row.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  } else if (event.key === "Enter" || event.key === " ") select(designs[Number(row.dataset.index)]);
  else return;
  event.preventDefault();
}

function buildTable() {
  const body = byId("designs").tBodies[0];
  body.addEventListener("click", event => {
    const row = event.target.closest("tr[data-index]");
    if (row) select(designs[Number(row.dataset.index)]);
  });
  body.addEventListener("keydown", walk);
  drawTable();
  listeners.filter.push(calm(() => { page = 0; drawTable(); }, 60));
  listeners.selection.push(markRow);
}

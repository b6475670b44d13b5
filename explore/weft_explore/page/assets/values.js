// Values and elements. Whatever comes from the exploration reaches the page through text nodes, or through plain().

/** A number that can be drawn and compared; anything else (null, "unknown", "NaN") cannot. */
const isNumber = value => typeof value === "number" && Number.isFinite(value);

/** As people read it: 1,234,567 or 0.01235; what is no number keeps its own word. */
function shown(value) {
  if (value === null || value === undefined) return "no value";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (!isNumber(value)) return typeof value === "object" ? JSON.stringify(value) : String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(3);
  return value.toLocaleString("en-US", { maximumSignificantDigits: size >= 1000 ? 6 : 4 });
}

/** Text for plotly, which takes some HTML of what it is given. */
const plain = text => String(text).replace(/[&<>]/g, sign => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);

/** plain(), shortened for titles and hover boxes. */
const short = (text, length = 60) => plain(String(text).length > length ? String(text).slice(0, length - 1) + "…" : text);

/** An element with attributes (functions become listeners) and children (strings become text). */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat());
  return made;
}

/** A table cell; values that are no numbers look different. */
function cell(value, kind = "td") {
  const made = element(kind, {}, shown(value));
  if (value === null || value === undefined || (typeof value === "string" && value !== "")) made.className = "no";
  return made;
}

const byId = id => document.getElementById(id);

/** A colour of the style sheet as it is now: light or dark. */
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The same call later, once for many within `wait` milliseconds. */
function calm(call, wait) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(call, wait); };
}

/** `1 design`, `2 designs`. */
const counted = (count, word) => `${count.toLocaleString("en-US")} ${word}${count === 1 ? "" : "s"}`;

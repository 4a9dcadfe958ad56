// Elements, made without HTML texts.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

// el("button.small", {type: "button", onclick}, "text", child, …); members that begin with "on" are listeners.
export function el(name, members = {}, ...children) {
  return filled(document.createElement(name.split(".")[0]), name, members, children);
}

export function svg(name, members = {}, ...children) {
  return filled(document.createElementNS(SVG, name.split(".")[0]), name, members, children);
}

function filled(element, name, members, children) {
  const classes = name.split(".").slice(1);
  if (classes.length > 0) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(members)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const grouped = new Intl.NumberFormat("en");
export const count = (number) => grouped.format(number);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function bytesText(bytes) {
  let value = bytes;
  for (const unit of ["bytes", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB") return unit === "bytes" ? plural(value, "byte") : `${value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return "";
}

// A time of the format as people read it: to the second, UTC.
export const timeText = (time) => `${time.slice(0, 10)} ${time.slice(11, 19)}`;

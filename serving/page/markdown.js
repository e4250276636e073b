// The Markdown of a model card as elements: headings, lists, tables, paragraphs, code, bold, emphasis. No HTML, no links.

import { element } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*/g;

function inline(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    parts.push(text.slice(end, match.index));
    const [name, content] = match[1] ? ["code", match[1]] : match[2] ? ["strong", match[2]] : ["em", match[3]];
    parts.push(element(name, { textContent: content }));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

function table(lines) {
  const [head, , ...rows] = lines.map(cells);
  const made = element("table", {}, element("tr", {}, ...head.map((cell) => element("th", { scope: "col" }, ...inline(cell)))));
  made.append(...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, ...inline(cell))))));
  return element("div", { className: "scroll" }, made);
}

const KINDS = [
  [/^```/, (lines) => element("pre", { textContent: lines.slice(1).join("\n") })],
  [/^#{1,6} /, ([line]) => element(`h${Math.min(6, line.indexOf(" ") + 1)}`, {}, ...inline(line.replace(/^#+ /, "")))],
  [/^[-*] /, (lines) => element("ul", {}, ...lines.map((line) => element("li", {}, ...inline(line.slice(2)))))],
  [/^\|/, table],
  [/^\S/, (lines) => element("p", {}, ...inline(lines.join(" ")))],
];
const kindOf = (line) => KINDS.findIndex(([pattern]) => pattern.test(line));

/** Elements of a text. A heading of the first level becomes one of the second, and so on. */
export function rendered(text) {
  const lines = text.split(/\r?\n/);
  const made = [];
  for (let at = 0; at < lines.length; ) {
    const kind = kindOf(lines[at]);
    let end = at + 1;
    if (kind === 0) while (end < lines.length && !lines[end].startsWith("```")) end++;
    else if (kind > 1) while (end < lines.length && kindOf(lines[end]) === kind) end++;
    if (kind >= 0) made.push(KINDS[kind][1](lines.slice(at, end)));
    at = kind === 0 ? end + 1 : end;
  }
  return made;
}

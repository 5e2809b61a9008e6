// Markdown to DOM nodes. Text only ever becomes text nodes, so whatever a model writes cannot run or load anything.

const BULLET = /^( *)([-*+]|\d{1,9}[.)])( +|$)/;
const FENCE = /^( {0,3})(`{3,}|~{3,})(.*)$/;
const HEADING = /^ {0,3}(#{1,6})(?: +(.*))?$/;
const RULE = /^ {0,3}(?:(?:- *){3,}|(?:\* *){3,}|(?:_ *){3,})$/;
const QUOTE = /^ {0,3}> ?/;
// Blocks in blocks and emphasis in emphasis end here: browsers lay out by recursion.
const MAX_DEPTH = 16;

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  for (const child of children.flat()) made.append(child);
  return made;
}

/** Markdown that arrives in pieces: blocks that are complete stay as they are, only what is last is made anew. */
export class MarkdownStream {
  #target;
  #rest = ""; // the source from the first block on that may change
  #open = []; // the nodes of these blocks
  #code = null; // the only one of them, if it is code

  constructor(target) {
    this.#target = target;
  }

  append(text) {
    this.#rest += text.replaceAll("\r", "");
    const lines = this.#rest.split("\n");
    const blocks = [...split(lines)];
    if (blocks.length === 1 && this.#grow(blocks[0])) return;
    for (const node of this.#open) node.remove();
    const nodes = blocks.map((block) => render(block, 0));
    for (const node of nodes) this.#target.append(node);
    // A line that has only begun may yet belong to the block before it.
    const keep = blocks.at(-1)?.start === lines.length - 1 ? 2 : 1;
    this.#open = nodes.slice(-keep);
    this.#code = this.#open.length === 1 && blocks.at(-1).kind === "code" ? blocks.at(-1) : null;
    this.#rest = lines.slice(blocks.at(-keep)?.start ?? 0).join("\n");
  }

  /** A code block, which may be long and is being read or selected, only gets what is new. */
  #grow(block) {
    const text = block.lines?.join("\n");
    const shown = this.#code?.lines.join("\n");
    if (block.kind !== "code" || block.language !== this.#code?.language || !text.startsWith(shown)) return false;
    this.#open[0].querySelector("code").firstChild.appendData(text.slice(shown.length));
    this.#code = block;
    return true;
  }
}

/** The blocks of some lines, each with the line it starts at. */
function* split(lines, depth = 0) {
  for (let at = 0; at < lines.length; ) {
    if (!lines[at].trim()) {
      at++;
      continue;
    }
    const block = (depth < MAX_DEPTH && special(lines, at)) || paragraph(lines, at, depth);
    yield { ...block, start: at };
    at = block.end;
  }
}

function special(lines, at) {
  return code(lines, at) || heading(lines, at) || rule(lines, at) || quote(lines, at) || list(lines, at) || table(lines, at);
}

function paragraph(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !(depth < MAX_DEPTH && interrupts(lines, end))) end++;
  return { kind: "paragraph", lines: lines.slice(at, end), end };
}

function interrupts(lines, at) {
  const line = lines[at];
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || BULLET.test(line) || table(lines, at);
}

function code(lines, at) {
  const [, indent, fence, info] = FENCE.exec(lines[at]) ?? [];
  if (!fence || (fence[0] === "`" && info.includes("`"))) return null;
  const closing = new RegExp(`^ {0,3}${fence[0]}{${fence.length},} *$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) end++;
  const inside = lines.slice(at + 1, end).map((line) => dedent(line, indent.length));
  return { kind: "code", language: info.trim().split(/\s/)[0], lines: inside, end: Math.min(end + 1, lines.length) };
}

function heading(lines, at) {
  const [, marks, text] = HEADING.exec(lines[at]) ?? [];
  return marks && { kind: "heading", level: marks.length, text: (text ?? "").replace(/(^| )#+ *$/, ""), end: at + 1 };
}

function rule(lines, at) {
  return RULE.test(lines[at]) && { kind: "rule", end: at + 1 };
}

function quote(lines, at) {
  if (!QUOTE.test(lines[at])) return null;
  let end = at + 1;
  while (end < lines.length && QUOTE.test(lines[end])) end++;
  return { kind: "quote", lines: lines.slice(at, end).map((line) => line.replace(QUOTE, "")), end };
}

function list(lines, at) {
  const first = BULLET.exec(lines[at]);
  if (!first) return null;
  const kind = (marker) => (/\d/.test(marker) ? marker.at(-1) : marker);
  const items = [];
  let end = at;
  while (end < lines.length) {
    const [marker, indent, mark] = BULLET.exec(lines[end]) ?? [];
    if (!marker || indent.length > first[1].length || kind(mark) !== kind(first[2]) || RULE.test(lines[end])) break;
    const item = [lines[end++].slice(marker.length)];
    // Models often indent less than CommonMark asks for: what is further in than the marker belongs to the item.
    for (; end < lines.length; end++) {
      const line = lines[end];
      if (!line.trim()) item.push("");
      else if (/^[ \t]*/.exec(line)[0].length > indent.length) item.push(dedent(line, marker.length));
      else if (item.at(-1) && !interrupts(lines, end)) item.push(line);
      else break;
    }
    items.push(item);
  }
  return { kind: "list", ordered: /\d/.test(first[2]), number: parseInt(first[2]) || 0, items, end };
}

function table(lines, at) {
  if (!lines[at].includes("|") || !lines[at + 1]?.includes("-")) return null;
  const head = cells(lines[at]);
  const marks = cells(lines[at + 1]);
  if (marks.length !== head.length || !marks.every((mark) => /^:?-+:?$/.test(mark))) return null;
  const align = marks.map((mark) => (mark.endsWith(":") ? (mark.startsWith(":") ? "center" : "right") : ""));
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end++;
  return { kind: "table", head, align, rows: lines.slice(at + 2, end).map(cells), end };
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.replaceAll("\\|", "|").trim());
}

function dedent(line, width) {
  let cut = 0;
  while (cut < width && line[cut] === " ") cut++;
  return line.slice(cut < width && line[cut] === "\t" ? cut + 1 : cut);
}

function render(block, depth) {
  const inside = (lines) => [...split(lines, depth + 1)].map((child) => render(child, depth + 1));
  switch (block.kind) {
    case "paragraph":
      return element("p", {}, inline(block.lines.map((line) => line.trim()).join("\n")));
    case "heading":
      // The conversation and the message have the first two levels.
      return element(`h${Math.min(block.level + 2, 6)}`, {}, inline(block.text));
    case "rule":
      return element("hr");
    case "quote":
      return element("blockquote", {}, inside(block.lines));
    case "list":
      return element(
        block.ordered ? "ol" : "ul",
        block.ordered ? { start: block.number } : {},
        block.items.map((item) => element("li", {}, inside(item))),
      );
    case "table":
      return renderTable(block);
    case "code":
      return renderCode(block);
  }
}

function renderTable({ head, align, rows }) {
  const row = (name, texts) =>
    element("tr", {}, head.map((_, i) => element(name, { className: align[i] }, inline(texts[i] ?? ""))));
  return element(
    "div",
    { className: "table", tabIndex: 0, role: "group", ariaLabel: "Table" },
    element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, rows.map((texts) => row("td", texts)))),
  );
}

function renderCode({ language, lines }) {
  return element(
    "div",
    { className: "code" },
    element("div", {}, element("span", {}, language || "code"), element("button", { type: "button", className: "copy-code" }, "Copy")),
    element("pre", { tabIndex: 0 }, element("code", {}, lines.join("\n"))),
  );
}

// At one place in the text, in this order: an escape, code, an image or link in angle brackets, a bare link, delimiters.
const INLINE =
  /\\([\\`*_{}#+.!|~<>-])|(`+)|!?\[|(\])|<(https?:\/\/[^\s<>]+)>|\b(https?:\/\/[^\s<>"`]+)|(\*+|_+|~~)|(\\?\n)/g;
const TARGET = /\(\s*(?:<([^<>\n]*)>|([^\s()]*(?:\([^\s()]*\)[^\s()]*)*))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y;

/** The nodes of a line of text. Openers wait in a stack for what closes them, and stay text where nothing does. */
function inline(text) {
  const nodes = [];
  const stack = []; // { mark, length, at }: at is the opener's own place in nodes
  const say = (string) => (typeof nodes.at(-1) === "string" && !opens() ? (nodes[nodes.length - 1] += string) : nodes.push(string));
  const opens = () => stack.at(-1)?.at === nodes.length - 1;
  const since = (at) => nodes.splice(at);
  let done = 0;
  INLINE.lastIndex = 0;
  for (let found; (found = INLINE.exec(text)); done = INLINE.lastIndex) {
    const resume = INLINE.lastIndex;
    if (found.index > done) say(text.slice(done, found.index));
    const [token, escaped, ticks, closing, angled, bare, delimiter, newline] = found;
    let next = resume;
    if (escaped) say(escaped);
    else if (ticks) next = codeSpan(text, ticks, resume, nodes, say);
    else if (angled) nodes.push(link(angled, [angled]));
    else if (bare) next = bareLink(bare, found.index, nodes, say);
    else if (newline) nodes.push(element("br"));
    else if (delimiter) emphasis(delimiter, text, found.index, nodes, stack, since);
    else if (!closing) pushOpener(nodes, stack, "[", token);
    else next = closeLink(text, resume, nodes, stack, since, say);
    INLINE.lastIndex = next;
  }
  if (done < text.length) say(text.slice(done));
  return nodes;
}

function pushOpener(nodes, stack, mark, literal) {
  if (stack.length < MAX_DEPTH) stack.push({ mark, length: literal.length, at: nodes.length });
  nodes.push(literal);
}

function codeSpan(text, ticks, from, nodes, say) {
  for (let end = from; (end = text.indexOf(ticks, end)) >= 0; ) {
    let after = end;
    while (text[after] === "`") after++;
    if (after - end === ticks.length) {
      const code = text.slice(from, end).replaceAll("\n", " ");
      nodes.push(element("code", {}, /^ .*\S.* $/.test(code) ? code.slice(1, -1) : code));
      return after;
    }
    end = after;
  }
  say(ticks);
  return from;
}

function link(url, children) {
  return element("a", { href: url, rel: "noopener noreferrer", target: "_blank" }, children);
}

/** Without the punctuation of the sentence around it; a closing bracket belongs to it if it was opened in it. */
function bareLink(found, index, nodes, say) {
  let unopened = found.split(")").length - found.split("(").length;
  let end = found.length;
  for (; ".,:;!?'*_~])".includes(found[end - 1]); end--) if (found[end - 1] === ")" && unopened-- <= 0) break;
  const url = found.slice(0, end);
  if (url.endsWith("//")) say(url);
  else nodes.push(link(url, [url]));
  return index + end;
}

function closeLink(text, from, nodes, stack, since, say) {
  const at = stack.findLastIndex((opener) => opener.mark === "[");
  TARGET.lastIndex = from;
  const target = at >= 0 && TARGET.exec(text);
  const url = target && (target[1] ?? target[2]);
  if (!url || !/^https?:\/\//i.test(url)) {
    if (at >= 0) stack.length = at;
    say("]");
    return from;
  }
  const [, ...label] = since(stack[at].at);
  // No link in a link, and no emphasis that begins in one and ends behind it.
  stack.splice(0, stack.length, ...stack.slice(0, at).filter((opener) => opener.mark !== "["));
  nodes.push(link(url, label.length ? label : [url]));
  return TARGET.lastIndex;
}

function emphasis(run, text, index, nodes, stack, since) {
  const mark = run[0];
  const space = (char) => char === undefined || /\s/.test(char);
  const word = (char) => char !== undefined && /[\p{L}\p{N}]/u.test(char);
  const [before, after] = [text[index - 1], text[index + run.length]];
  // Underscores inside of words are part of names.
  const canClose = !space(before) && !(mark === "_" && word(after));
  const canOpen = !space(after) && !(mark === "_" && word(before));
  let length = run.length;
  while (canClose && length) {
    const at = stack.findLastIndex((opener) => opener.mark === mark);
    if (at < 0) break;
    const opener = stack[at];
    const used = Math.min(length, opener.length, 2);
    const children = since(opener.at + 1);
    stack.length = at + 1;
    opener.length -= used;
    length -= used;
    if (opener.length) nodes[opener.at] = mark.repeat(opener.length);
    else {
      nodes.pop();
      stack.pop();
    }
    nodes.push(element(mark === "~" ? "del" : used === 2 ? "strong" : "em", {}, children));
  }
  if (!length) return;
  if (canOpen) pushOpener(nodes, stack, mark, mark.repeat(length));
  else nodes.push(mark.repeat(length));
}

// A model's Markdown as elements. Text becomes text nodes only: markup in it stays visible text.

const ITEM = /^( *)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;
const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const INLINE =
  /(`+)(.+?)\1|\*\*(\S(?:.*?\S)??)\*\*|\*(\S(?:.*?\S)??)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/;

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Show `text` in `place`; blocks that stay as they are keep their elements. */
export function show(place, text) {
  const fresh = blocks(text.split("\n"));
  const shown = place.blocks ?? [];
  let same = 0;
  while (same < fresh.length && fresh[same].source === shown[same]?.source) same++;
  for (const old of [...place.children].slice(same)) old.remove();
  place.append(...fresh.slice(same).map((block) => block.build()));
  place.blocks = fresh;
}

/** The blocks of lines: their source, and how to build their element. */
function blocks(lines) {
  const found = [];
  let at = 0;
  while (at < lines.length) {
    const take = [code, heading, quote, list, paragraph].find((rule) => rule.starts(lines[at]));
    if (!take) at++; // an empty line
    else {
      const end = take.end(lines, at);
      const own = lines.slice(at, end);
      found.push({ source: own.join("\n"), build: () => take.build(own) });
      at = end;
    }
  }
  return found;
}

function built(lines) {
  return blocks(lines).map((block) => block.build());
}

function endWhile(lines, at, belongs) {
  let end = at + 1;
  while (end < lines.length && belongs(lines[end])) end++;
  return end;
}

const code = {
  starts: (line) => FENCE.test(line),
  end(lines, at) {
    const fence = FENCE.exec(lines[at])[1];
    const end = endWhile(lines, at, (line) => !line.trim().startsWith(fence));
    return Math.min(end + 1, lines.length);
  },
  build(lines) {
    const [, fence, language] = FENCE.exec(lines[0]);
    const closed = lines.length > 1 && lines.at(-1).trim().startsWith(fence);
    const text = lines.slice(1, closed ? -1 : undefined).join("\n");
    const copy = element("button", { type: "button", className: "copy", textContent: "Copy" });
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    });
    const title = element("div", { className: "title" }, element("span", {}, language), copy);
    const body = element("pre", { tabIndex: 0 }, element("code", {}, text));
    return element("div", { className: "block" }, title, body);
  },
};

const heading = {
  starts: (line) => HEADING.test(line),
  end: (_, at) => at + 1,
  build(lines) {
    const [, marks, text] = HEADING.exec(lines[0]);
    return element(`h${Math.min(marks.length + 1, 6)}`, {}, ...inline(text));
  },
};

const quote = {
  starts: (line) => line.startsWith(">"),
  end: (lines, at) => endWhile(lines, at, (line) => line.startsWith(">")),
  build: (lines) => element("blockquote", {}, ...built(lines.map((line) => line.replace(/^> ?/, "")))),
};

const list = {
  starts: (line) => ITEM.test(line),
  end(lines, at) {
    const [, indent, number] = ITEM.exec(lines[at]);
    const belongs = (line) => {
      const item = itemAt(indent, line);
      return item ? Boolean(item[2]) === Boolean(number) : /^(\s{2,}\S|\s*$)/.test(line);
    };
    return endWhile(lines, at, belongs);
  },
  build(lines) {
    const [, indent, number] = ITEM.exec(lines[0]);
    const made = number ? element("ol", { start: Number(number) }) : element("ul");
    let at = 0;
    while (at < lines.length) {
      const end = endWhile(lines, at, (line) => !itemAt(indent, line));
      made.append(element("li", {}, ...built([ITEM.exec(lines[at])[3], ...dedented(lines, at + 1, end)])));
      at = end;
    }
    return made;
  },
};

/** The item that a line begins in a list indented so; one that is further in is inside of an item. */
function itemAt(indent, line) {
  const item = ITEM.exec(line);
  return item && item[1].length < indent.length + 2 ? item : null;
}

function dedented(lines, from, to) {
  const own = lines.slice(from, to);
  const depths = own.filter((line) => line.trim()).map((line) => line.search(/\S/));
  return own.map((line) => line.slice(Math.min(...depths)));
}

const paragraph = {
  starts: (line) => line.trim() !== "",
  end: (lines, at) =>
    endWhile(lines, at, (line) => paragraph.starts(line) && !others.some((rule) => rule.starts(line))),
  build: (lines) => element("p", {}, ...inline(lines.join("\n"))),
};
const others = [code, heading, quote, list];

function inline(text) {
  const nodes = [];
  let rest = text;
  for (let match = INLINE.exec(rest); match; match = INLINE.exec(rest)) {
    nodes.push(rest.slice(0, match.index), span(match));
    rest = rest.slice(match.index + match[0].length);
  }
  return [...nodes, rest];
}

function span([, , literal, strong, emphasis, label, address]) {
  if (literal !== undefined) return element("code", {}, literal.trim());
  if (strong !== undefined) return element("strong", {}, ...inline(strong));
  if (emphasis !== undefined) return element("em", {}, ...inline(emphasis));
  return element("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label);
}

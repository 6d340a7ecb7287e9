// The turns of a conversation on the page.

import { element, show } from "./markdown.js";

const turns = document.getElementById("turns");

export function clear() {
  turns.replaceChildren();
}

/** Show what the user said; the element it is shown in. */
export function addQuestion(text) {
  const said = element("div", { className: "text plain" }, text);
  const question = element("article", { className: "user", ariaLabel: "You" }, said);
  turns.append(question);
  return question;
}

/** An answer that grows while it is streamed. */
export class Answer {
  #reasoning = "";
  #content = "";
  #calls = [];
  #frame = 0;
  #place = element("article", { className: "assistant", ariaLabel: "Model", ariaBusy: "true" });
  #thoughts = element("div", { className: "text plain" });
  #fold = element("details", { className: "thoughts" }, element("summary", {}, "Reasoning"));
  #text = element("div", { className: "text" });
  #list = element("div", { className: "calls" });

  constructor() {
    this.#fold.append(this.#thoughts);
    this.#place.append(this.#text);
    turns.append(this.#place);
  }

  get calls() {
    return this.#calls;
  }

  get empty() {
    return !this.#content && !this.#calls.length;
  }

  /** The answer as the next request tells it to the model. */
  get message() {
    const message = { role: "assistant", content: this.#content };
    return this.#calls.length ? { ...message, tool_calls: this.#calls } : message;
  }

  /** Take what a chunk brings; it is shown with the next frame. */
  note(chunk) {
    const delta = chunk.choices?.[0]?.delta ?? {};
    this.#reasoning += delta.reasoning_content ?? delta.reasoning ?? "";
    this.#content += delta.content ?? "";
    for (const piece of delta.tool_calls ?? []) this.#noteCall(piece);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  end(note) {
    cancelAnimationFrame(this.#frame);
    this.#draw();
    this.#place.ariaBusy = "false";
    if (note) this.#place.append(element("p", { className: "note" }, note));
  }

  remove() {
    cancelAnimationFrame(this.#frame);
    this.#place.remove();
  }

  /** Ask for the result of each call; `send` gets the messages that tell them to the model. */
  askForResults(send) {
    const fields = this.#calls.map((call) => resultField(call));
    const form = element("form", { className: "results" }, ...fields.map(({ label }) => label));
    form.append(element("button", { type: "submit" }, "Send results"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.replaceWith(...fields.map(({ input }) => element("pre", {}, input.value)));
      const role = "tool";
      send(fields.map(({ id, input }) => ({ role, tool_call_id: id, content: input.value })));
    });
    this.#place.append(form);
    scrollToEnd();
  }

  #noteCall({ index, id, function: part }) {
    const type = "function";
    const call = (this.#calls[index] ??= { id: "", type, function: { name: "", arguments: "" } });
    call.id ||= id ?? "";
    call.function.name += part?.name ?? "";
    call.function.arguments += part?.arguments ?? "";
  }

  #draw() {
    this.#frame = 0;
    const atEnd = isAtEnd();
    if (this.#reasoning && !this.#fold.isConnected) this.#place.prepend(this.#fold);
    this.#thoughts.textContent = this.#reasoning.trim();
    show(this.#text, this.#content);
    if (this.#calls.length) this.#place.append(this.#list);
    this.#list.replaceChildren(...this.#calls.map(callView));
    if (atEnd) scrollToEnd();
  }
}

function callView(call) {
  const name = element("strong", {}, call.function.name);
  const body = element("pre", { tabIndex: 0 }, pretty(call.function.arguments));
  return element("div", { className: "call" }, element("p", {}, "Calls ", name), body);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // still on its way
  }
}

function resultField(call) {
  const input = element("textarea", { rows: 2, className: "code", required: true });
  const label = element("label", {}, `Result of ${call.function.name}`, input);
  return { id: call.id, input, label };
}

function isAtEnd() {
  const page = document.scrollingElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 80;
}

export function scrollToEnd() {
  document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
}

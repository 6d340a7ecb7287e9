// The conversation: what the user says goes to the server, and what comes back is shown.

import { ApiError, ask, listModels } from "./api.js";
import { apiKey, askForKey, model, onKey, requestFor, showModels, valid } from "./settings.js";
import { Speed } from "./speed.js";
import { Answer, addQuestion, clear, scrollToEnd } from "./turns.js";

const find = (id) => document.getElementById(id);
const prompt = find("prompt");
const LOADING_MS = 1000;

let models = [];
let messages = [];
let running; // what aborts the answer that is on its way

async function loadModels() {
  try {
    models = await listModels(apiKey());
    showModels(models);
    problem("");
  } catch (error) {
    if (error.status !== 503) return report(error);
    problem("The server is loading its models.");
    setTimeout(loadModels, LOADING_MS);
  }
}

function problem(text) {
  find("problem").textContent = text;
  find("problem").hidden = !text;
}

function report(error) {
  problem(error instanceof ApiError ? error.message : `No answer from the server: ${error.message}`);
  if (error.status === 401) askForKey();
}

/** One button gives way to the other; who was on it is on the other then. */
function busy(is) {
  const [shown, gone] = is ? [find("stop"), find("send")] : [find("send"), find("stop")];
  const focused = document.activeElement === gone;
  shown.hidden = false;
  gone.hidden = true;
  if (focused) shown.focus();
  find("status").textContent = is ? "Answering" : "";
}

function say(text) {
  find("empty").hidden = true;
  return answer([{ role: "user", content: text }], addQuestion(text));
}

/** Let the model answer the conversation and `fresh` messages; a user's is shown as `question`. */
async function answer(fresh, question) {
  const conversation = messages;
  const aborter = (running = new AbortController());
  const shown = new Answer();
  problem("");
  busy(true);
  scrollToEnd();
  try {
    const ending = await receive([...conversation, ...fresh], shown, aborter.signal);
    keep(conversation, [...fresh, shown.message]);
    shown.end(ending);
    if (shown.calls.length) shown.askForResults(answer);
    find("status").textContent = "Answered";
  } catch (error) {
    if (aborter.signal.aborted) stopped(conversation, fresh, [shown, question]);
    else failed(error, conversation, fresh, [shown, question]);
  }
}

/** Show an answer while it comes; why it ended, where that is worth a word. */
async function receive(conversation, shown, signal) {
  const roofline = models.find(({ id }) => id === model())?.roofline_tokens_per_second;
  const speed = new Speed(roofline);
  let ending;
  try {
    for await (const chunk of ask(requestFor(conversation), apiKey(), signal)) {
      shown.note(chunk);
      speed.note(chunk);
      find("speed").textContent = speed.text;
      ending = chunk.choices?.[0]?.finish_reason ?? ending;
    }
  } finally {
    if (running?.signal === signal) {
      running = undefined;
      busy(false);
    }
  }
  return ending === "length" ? "Ended at the limit of tokens." : undefined;
}

/** Whether the conversation took `fresh`: one that was left for a new chat takes nothing more. */
function keep(conversation, fresh) {
  if (messages !== conversation) return false;
  messages = [...conversation, ...fresh];
  return true;
}

/** What was said before it stopped is kept; calls that nobody will answer are not. */
function stopped(conversation, fresh, [shown, question]) {
  shown.end("Stopped.");
  const { role, content } = shown.message;
  const said = content ? [...fresh, { role, content }] : question ? [] : fresh;
  if (keep(conversation, said)) find("status").textContent = "Stopped";
}

/** Nothing is lost: what was said goes back to where it can be sent again. */
function failed(error, conversation, fresh, [shown, question]) {
  shown.end("The answer broke off.");
  report(error);
  if (!question) keep(conversation, fresh);
  else if (messages === conversation) {
    prompt.value ||= fresh[0].content;
    question.remove();
    if (shown.empty) shown.remove();
  }
}

function submit() {
  const text = prompt.value.trim();
  if (running || !text || !valid()) return;
  prompt.value = "";
  say(text);
}

function stop() {
  running?.abort();
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
find("parameters").addEventListener("submit", (event) => event.preventDefault());
find("stop").addEventListener("click", () => {
  stop();
  prompt.focus();
});
find("new").addEventListener("click", () => {
  stop();
  messages = [];
  clear();
  problem("");
  find("empty").hidden = false;
  find("speed").textContent = "";
  prompt.focus();
});
onKey(loadModels);
loadModels();

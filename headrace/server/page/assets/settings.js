// The fields of the page: which model is asked, and how.

const field = (id) => document.getElementById(id);
const KEY = "headrace.key"; // this tab's storage: gone when it is closed

field("key").value = sessionStorage.getItem(KEY) ?? "";

export function apiKey() {
  return field("key").value.trim();
}

/** Calls `listener` when another API key was entered. */
export function onKey(listener) {
  field("key").addEventListener("change", () => {
    if (apiKey()) sessionStorage.setItem(KEY, apiKey());
    else sessionStorage.removeItem(KEY);
    listener();
  });
}

export function askForKey() {
  field("settings").open = true;
  field("key").focus();
}

export function showModels(models) {
  const options = models.map(({ id }) => new Option(id, id));
  field("model").replaceChildren(...options);
}

export function model() {
  return field("model").value;
}

/** Whether all fields are in range; shows the browser's hint at the first that is not. */
export function valid() {
  field("tools").setCustomValidity(problemOfTools());
  if (field("parameters").checkValidity()) return true;
  field("settings").open = true;
  return field("parameters").reportValidity();
}

/** The request for an answer to `messages`, without what is left at the server's defaults. */
export function requestFor(messages) {
  const system = field("system").value.trim();
  const request = {
    model: model(),
    messages: system ? [{ role: "system", content: system }, ...messages] : messages,
    temperature: field("temperature").valueAsNumber,
    top_p: field("top-p").valueAsNumber,
  };
  if (field("max-tokens").value) request.max_completion_tokens = field("max-tokens").valueAsNumber;
  if (field("tools").value.trim()) request.tools = JSON.parse(field("tools").value);
  return request;
}

function problemOfTools() {
  const text = field("tools").value.trim();
  if (!text) return "";
  try {
    return Array.isArray(JSON.parse(text)) ? "" : "A JSON array of tools, please.";
  } catch (problem) {
    return problem.message;
  }
}

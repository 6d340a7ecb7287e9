// What the page asks of the server it came from.

/** A refusal of the server, in its own words. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function headers(key) {
  const all = { "Content-Type": "application/json" };
  if (key) all.Authorization = `Bearer ${key}`;
  return all;
}

async function refusal(response) {
  const text = await response.text();
  try {
    return new ApiError(response.status, JSON.parse(text).error.message);
  } catch {
    return new ApiError(response.status, `The server answered ${response.status}.`);
  }
}

/** The models that the server has, as `/v1/models` lists them. */
export async function listModels(key) {
  const response = await fetch("/v1/models", { headers: headers(key) });
  if (!response.ok) throw await refusal(response);
  return (await response.json()).data;
}

/** The chunks of a streamed answer, as they come. */
export async function* ask(request, key, signal) {
  const stream_options = { include_usage: true, continuous_usage_stats: true };
  const body = JSON.stringify({ ...request, stream: true, stream_options });
  const options = { method: "POST", headers: headers(key), body, signal };
  const response = await fetch("/v1/chat/completions", options);
  if (!response.ok) throw await refusal(response);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiError(chunk.error.code, chunk.error.message);
    yield chunk;
  }
  throw new Error("The connection ended before the answer did.");
}

/** The data of server-sent events, of one line each; other lines are comments that keep it alive. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  } finally {
    reader.cancel().catch(() => {}); // an aborted reader has nothing left to cancel
  }
}

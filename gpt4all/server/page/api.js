// The server's interface, which is OpenAI's, and its failures in words for people.

/** A failure with what to do about it. */
export class Problem extends Error {
  constructor(message, advice = "") {
    super(message);
    this.advice = advice;
  }
}

const ADVICE = {
  400: "Change the message or the system prompt, and send it again.",
  401: "Reload the page to enter another key.",
  404: "Choose another model above, and try again.",
  413: "Shorten the message or begin a new conversation.",
  429: "The server has as much to do as it takes. Try again in a moment.",
  500: "The server's own output may say more. Try again, or begin a new conversation.",
  503: "The model may still be loading, or the server is about to stop. Try again in a moment.",
  context_length_exceeded: "Begin a new conversation, or shorten the message or the system prompt.",
};
const LOST = "Is gpt4all serve still running? Start it again if not, then try again.";

export class Api {
  #askForKey;

  /** `askForKey(refused)` gives the API key as the user enters it, or null; `refused` is whether one was not accepted. */
  constructor(askForKey) {
    this.#askForKey = askForKey;
  }

  /** The names of the models that generate text. */
  async models() {
    const { data } = await (await this.#request("v1/models")).json();
    return data.filter(({ capabilities }) => capabilities?.includes("completion") ?? true).map(({ id }) => id);
  }

  /** The chunks of a streamed answer. */
  async *chat(body, signal) {
    const stream = { ...body, stream: true, stream_options: { include_usage: true } };
    const response = await this.#request("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(stream),
      signal,
    });
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw problem(500, chunk.error);
      yield chunk;
    }
    throw new Problem("The connection ended before the answer did.", LOST);
  }

  async #request(path, options = {}) {
    for (;;) {
      const key = sessionStorage.getItem("gpt4all.key");
      const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
      const response = await fetch(path, { ...options, headers }).catch((error) => {
        throw error.name === "AbortError" ? error : new Problem("The server does not answer.", LOST);
      });
      if (response.ok) return response;
      if (response.status === 401) {
        const entered = await this.#askForKey(Boolean(key));
        if (entered) {
          sessionStorage.setItem("gpt4all.key", entered);
          continue;
        }
      }
      throw problem(response.status, (await response.json().catch(() => ({}))).error, response.headers.get("Retry-After"));
    }
  }
}

function problem(status, error, retryAfter) {
  const wait = Number(retryAfter);
  const advice = wait ? `Try again in ${wait} ${wait === 1 ? "second" : "seconds"}.` : (ADVICE[error?.code] ?? ADVICE[status]);
  return new Problem(error?.message ?? `The server answered with status ${status}.`, advice ?? ADVICE[500]);
}

/** The data of server-sent events. */
async function* events(body) {
  let rest = "";
  let data = [];
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw error.name === "AbortError" ? error : new Problem("The connection to the server broke.", LOST);
      });
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
        else if (!line && data.length) yield data.splice(0).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

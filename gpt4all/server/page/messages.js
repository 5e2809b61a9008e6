// One message on the screen.

import { element, MarkdownStream } from "./markdown.js";

const NOTES = {
  stopped: "Stopped",
  length: "Cut off at the limit of tokens",
  running: "Broken off when the page was closed",
};

export class MessageView {
  #message;
  #shown = { content: 0, reasoning: 0 };
  #streams = {};
  #painting = 0;
  #part;

  /** `on` has what its buttons do: `again()` and `edit(text)`. */
  constructor(message, running, on) {
    this.#message = message;
    this.node = document.getElementById("message").content.firstElementChild.cloneNode(true);
    this.#part = (selector) => this.node.querySelector(selector);
    this.node.classList.add(message.role);
    this.#part("h2").textContent = message.role === "user" ? "You" : "Answer";
    this.#part(".again").onclick = on.again;
    this.#part(".edit").onclick = () => this.#edit(on.edit);
    this.#part(".copy").onclick = (event) => copy(message.content, event.target);
    if (message.role === "user") this.#part(".text").textContent = message.content;
    else this.#streams = this.#markdown();
    this.#paint(running);
    if (!running) this.finish(on);
  }

  #markdown() {
    this.#part(".text").classList.add("markdown");
    this.node.addEventListener("click", ({ target }) => {
      if (target.matches(".copy-code")) copy(target.closest(".code").querySelector("code").textContent, target);
    });
    return {
      content: new MarkdownStream(this.#part(".text")),
      reasoning: new MarkdownStream(this.#part(".thinking div")),
    };
  }

  /** Shows what the message has become, with the screen's next frame. */
  update() {
    this.#painting ||= requestAnimationFrame(() => this.#paint(true));
  }

  /** The answer is complete, or has come to another end. */
  finish(on) {
    this.#paint(false);
    const { problem, role, state, tokens, seconds } = this.#message;
    const rate = tokens > 1 && seconds > 0.05 && `${((tokens - 1) / seconds).toFixed(1)} tokens/s`;
    const facts = [NOTES[state], tokens && `${tokens} ${tokens === 1 ? "token" : "tokens"}`, rate];
    if (role === "assistant") this.#part(".note").textContent = facts.filter(Boolean).join(" · ");
    if (problem) {
      this.#part(".problem").hidden = false;
      this.#part(".problem").replaceChildren(
        element("p", {}, element("strong", {}, problem.message), ` ${problem.advice}`),
        element("button", { type: "button", className: "retry", onclick: on.again }, "Try again"),
      );
    }
  }

  get text() {
    return this.#part(".text").innerText;
  }

  #paint(running) {
    cancelAnimationFrame(this.#painting);
    this.#painting = 0;
    this.node.classList.toggle("running", running);
    if (this.#message.role === "user") return;
    for (const [name, stream] of Object.entries(this.#streams)) {
      const text = this.#message[name] ?? "";
      if (text.length > this.#shown[name]) stream.append(text.slice(this.#shown[name]));
      this.#shown[name] = text.length;
    }
    this.#part(".thinking").hidden = !this.#shown.reasoning;
    this.#part("summary").textContent = running && !this.#shown.content ? "Thinking…" : "Thoughts";
  }

  #edit(send) {
    const text = this.#part(".text");
    const input = element("textarea", { value: this.#message.content, ariaLabel: "Edit the message", rows: 3 });
    const cancel = element("button", { type: "button" }, "Cancel");
    const form = element("form", { className: "editor" }, input, element("div", { className: "row" }, cancel));
    form.lastChild.append(element("button", { type: "submit", className: "primary" }, "Send"));
    const close = () => {
      form.replaceWith(text);
      this.node.classList.remove("editing");
      this.#part(".edit").focus();
    };
    cancel.onclick = close;
    form.onsubmit = (event) => {
      event.preventDefault();
      if (input.value.trim()) send(input.value.trim());
    };
    input.onkeydown = (event) => {
      if (event.key === "Escape") close();
      else submitOnEnter(event);
    };
    text.replaceWith(form);
    this.node.classList.add("editing");
    input.focus();
  }
}

/** Enter sends the form, Shift+Enter begins a line; an input method's own Enter only accepts what it proposes. */
export function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers have no clipboard for pages that came over plain http from another machine.
    const area = element("textarea", { value: text });
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const label = button.textContent;
  button.textContent = "Copied";
  document.getElementById("announcer").textContent = "Copied";
  button.addEventListener("blur", () => (button.textContent = label), { once: true });
  button.addEventListener("pointerleave", () => (button.textContent = label), { once: true });
}

// The conversations, which stay in this browser: one entry of localStorage for each.

import { Problem } from "./api.js";

const PREFIX = "gpt4all.chat.";
const FORMAT = "gpt4all-conversations";

export class Chats {
  #chats = new Map();

  constructor() {
    for (const key of Object.keys(localStorage)) this.reload(key);
  }

  /** Reads what another tab has written or deleted; whether `key` is a conversation's. */
  reload(key) {
    if (!key?.startsWith(PREFIX)) return false;
    const id = key.slice(PREFIX.length);
    try {
      this.#chats.set(id, { ...checked(JSON.parse(localStorage.getItem(key))), id });
    } catch {
      this.#chats.delete(id); // what is there is left alone: another version may read it
    }
    return true;
  }

  get(id) {
    return this.#chats.get(id);
  }

  /** The latest first. */
  all() {
    return [...this.#chats.values()].sort((a, b) => b.updated - a.updated);
  }

  save(chat) {
    this.#chats.set(chat.id, chat);
    try {
      localStorage.setItem(PREFIX + chat.id, JSON.stringify(chat));
    } catch {
      throw new Problem(
        "This browser keeps no more conversations: its storage for this page is full.",
        "Export the conversations you want to keep and delete some; what is on the screen would be lost with the page.",
      );
    }
  }

  delete(id) {
    this.#chats.delete(id);
    localStorage.removeItem(PREFIX + id);
  }

  /** Adds what `exported` wrote; what is here already is not replaced. Returns how many are new. */
  import(text) {
    let read;
    try {
      read = JSON.parse(text);
    } catch {
      throw new Problem("This file is not JSON.", "Choose a file that this page has exported.");
    }
    if (read?.format !== FORMAT || !Array.isArray(read.conversations))
      throw new Problem("This file has no conversations of this page in it.", "Choose a file that this page has exported.");
    const known = new Set(this.all().map(fingerprint));
    const added = read.conversations.map(checked).filter((chat) => !known.has(fingerprint(chat)));
    for (const chat of added) this.save({ ...chat, id: this.#chats.has(chat.id) ? newId() : chat.id });
    return added.length;
  }
}

export function newChat(model) {
  return { id: newId(), title: "", model, system: "", updated: Date.now(), messages: [] };
}

export function exported(chats) {
  return JSON.stringify({ format: FORMAT, version: 1, conversations: chats }, null, 2);
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(36)).join("");
}

function fingerprint({ title, messages }) {
  return JSON.stringify([title, messages.map(({ role, content }) => [role, content])]);
}

/** A conversation as this page writes it, or a Problem that says what is wrong with it. */
function checked(read) {
  const need = (right, what) => {
    if (!right) throw new Problem(`A conversation in this file is damaged: ${what}.`, "Choose another file.");
  };
  const text = (value) => (typeof value === "string" ? value : "");
  const number = (value) => (Number.isFinite(value) ? value : 0);
  need(Array.isArray(read?.messages), "its messages are missing");
  const messages = read.messages.map((message) => {
    need(["user", "assistant"].includes(message?.role), "a message has no known role");
    need(typeof message.content === "string", "a message has no text");
    const { role, content, problem } = message;
    const kept = { role, content, reasoning: text(message.reasoning), state: text(message.state) };
    if (message.tokens) Object.assign(kept, { tokens: number(message.tokens), seconds: number(message.seconds) });
    if (problem) kept.problem = { message: text(problem.message), advice: text(problem.advice) };
    return kept;
  });
  return {
    id: /^\w{1,64}$/.test(read.id) ? read.id : newId(),
    title: text(read.title),
    model: text(read.model),
    system: text(read.system),
    updated: number(read.updated),
    messages,
  };
}

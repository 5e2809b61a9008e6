// The page: the conversation on the screen, the answers that are being written, and what the buttons do.

import { Api, Problem } from "./api.js";
import { Chats, exported, newChat } from "./chats.js";
import { element } from "./markdown.js";
import { MessageView, submitOnEnter } from "./messages.js";

const $ = (id) => document.getElementById(id);
const api = new Api((refused) =>
  ask("API key", refused ? "The server did not accept this key." : "This server asks for an API key (gpt4all serve --api-key).", "", "password"),
);
const chats = new Chats();
const running = new Map(); // a conversation's id to the AbortController of its answer
let chat; // on the screen
let views = []; // its messages
let address = null; // what was shown last
let leaving = false; // the page is being closed
let pinned = true; // the end of the conversation stays in sight
let scrolled = 0; // how far down, at the last look

// ---- the conversation on the screen

function show(next) {
  chat = next;
  views = chat.messages.map((message, i) => view(message, running.has(chat.id) && i === chat.messages.length - 1));
  $("messages").replaceChildren(...views.map(({ node }) => node));
  $("system-text").value = chat.system;
  $("system").open = false;
  pinned = true;
  refresh();
  toEnd();
}

function view(message, isRunning) {
  return new MessageView(message, isRunning, { again: regenerate, edit: (text) => resend(text) });
}

/** Everything around the messages. */
function refresh() {
  const title = chat.title || "New conversation";
  const isRunning = running.has(chat.id);
  $("title").textContent = title;
  document.title = chat.title ? `${title} – GPT4All` : "GPT4All";
  $("empty").hidden = chat.messages.length > 0;
  $("options").disabled = !chats.get(chat.id);
  $("thread").classList.toggle("busy", isRunning);
  $("send").hidden = isRunning;
  $("stop").hidden = !isRunning;
  $("system-start").textContent = chat.system ? `: ${chat.system}` : "";
  showModels();
  const item = ({ id, title: text }) =>
    element("li", {}, element("a", { href: `#${id}`, title: text, ariaCurrent: id === chat.id ? "page" : null }, text));
  $("list").replaceChildren(...chats.all().map(item));
  $("export-all").disabled = !chats.all().length;
}

/** Shows what the address says: a conversation, or a new one. */
function route() {
  if ($("sidebar").matches(":popover-open")) $("sidebar").hidePopover();
  const id = location.hash.slice(1);
  if (id !== address) show(chats.get(id) ?? newChat(""));
  address = id;
  $("input").focus();
}

function go(id) {
  location.hash = id;
  route();
}

function toEnd() {
  if (pinned) $("log").scrollTop = $("log").scrollHeight;
}

// ---- models

let models = [];

async function loadModels() {
  try {
    models = await api.models();
    if (!models.length) throw new Problem("This server offers no model to talk with.", "Start it with one: gpt4all serve MODEL.");
  } catch (problem) {
    notify(problem, ["Try again", loadModels]);
  }
  showModels();
}

function showModels() {
  chat.model ||= models.find((model) => model === localStorage.getItem("gpt4all.model")) ?? models[0] ?? "";
  const names = !chat.model || models.includes(chat.model) ? models : [chat.model, ...models];
  const label = (name) => (models.length && !models.includes(name) ? `${name} (not on this server)` : name);
  $("model").replaceChildren(...names.map((name) => new Option(label(name), name, false, name === chat.model)));
  $("model").disabled = !models.length;
  $("empty-title").textContent = `Ask ${chat.model || "a model"}`;
}

// ---- sending and answering

function send(text) {
  if (running.has(chat.id)) return;
  chat.messages.push({ role: "user", content: text });
  chat.title ||= shortened(text.replace(/\s+/g, " "));
  views.push(view(chat.messages.at(-1), false));
  $("messages").append(views.at(-1).node);
  answer(chat);
  location.hash = address = chat.id;
  $("input").focus();
}

/** The beginning, in whole words where there are any. */
function shortened(text) {
  if (text.length <= 60) return text;
  const words = text.slice(0, 60).replace(/\s\S*$/, "");
  return `${[...words].length > 20 ? words : [...text.slice(0, 59)].join("")}…`;
}

/** Takes back messages from `end` on. */
function cut(end) {
  chat.messages.length = end;
  for (const { node } of views.splice(end)) node.remove();
}

function regenerate() {
  if (running.has(chat.id)) return;
  cut(chat.messages.findLastIndex(({ role }) => role === "user") + 1);
  answer(chat);
  $("input").focus();
}

function resend(text) {
  if (running.has(chat.id)) return;
  cut(chat.messages.findLastIndex(({ role }) => role === "user"));
  send(text);
}

async function answer(to) {
  const message = { role: "assistant", content: "", reasoning: "", state: "running" };
  const controller = new AbortController();
  const request = { model: to.model, messages: conversation(to) };
  to.messages.push(message);
  to.updated = Date.now();
  running.set(to.id, controller);
  save(to);
  const added = view(message, true);
  views.push(added);
  $("messages").append(added.node);
  pinned = true;
  refresh();
  announce("The answer is being written.");
  const shown = () => (chat === to ? views.at(-1) : null); // it may be another view by now, or out of sight
  try {
    for await (const chunk of api.chat(request, controller.signal)) {
      receive(message, chunk);
      shown()?.update();
    }
    if (message.state === "running") message.state = "done";
  } catch (problem) {
    if (leaving) return;
    message.state = problem.name === "AbortError" ? "stopped" : "failed";
    if (message.state === "failed") message.problem = { message: problem.message, advice: problem.advice ?? "" };
  }
  delete message.first;
  running.delete(to.id);
  if (chats.get(to.id) === to) save(to);
  shown()?.finish({ again: regenerate });
  if (shown()) announceEnd(message, shown().text);
  refresh();
}

/** What the model is sent. An answer that never came leaves two questions, which become one: templates want turns. */
function conversation({ system, messages }) {
  const sent = system ? [{ role: "system", content: system }] : [];
  for (const { role, content } of messages) {
    if (role === sent.at(-1)?.role) sent.at(-1).content += `\n\n${content}`;
    else if (content) sent.push({ role, content });
  }
  return sent;
}

function receive(message, { choices, usage }) {
  const { delta, finish_reason: reason } = choices?.[0] ?? {};
  const now = performance.now();
  if (delta?.content || delta?.reasoning_content) {
    message.first ??= now;
    message.seconds = (now - message.first) / 1000;
  }
  message.content += delta?.content ?? "";
  message.reasoning += delta?.reasoning_content ?? "";
  if (reason) message.state = reason === "length" ? "length" : "done";
  if (usage) message.tokens = usage.completion_tokens;
}

// ---- telling

function announce(text) {
  $("announcer").textContent = text;
}

/** Screen readers hear an answer when it is whole, not token by token. */
function announceEnd({ problem, state }, text) {
  if (problem) announce(`The answer failed. ${problem.message} ${problem.advice}`);
  else announce(`${state === "stopped" ? "Stopped" : "Answer"}: ${text.slice(0, 1000)}`);
}

/** Says what happened, with an action if there is one: a Problem, or plain text. */
function notify(what, [label, act] = []) {
  const close = () => $("notice").replaceChildren();
  const text = what.advice ? `${what.message} ${what.advice}` : (what.message ?? what);
  const act1 = () => (close(), act(), $("input").focus());
  $("notice").replaceChildren(
    element("p", {}, text),
    label ? element("button", { type: "button", onclick: act1 }, label) : "",
    element("button", { type: "button", onclick: () => (close(), $("input").focus()) }, "Dismiss"),
  );
  $("notice").classList.toggle("problem", what instanceof Error);
}

/** A line of text from the user, or null. */
function ask(title, text, value = "", type = "text") {
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  Object.assign($("ask-input"), { value, type });
  $("ask").returnValue = "";
  $("ask").showModal();
  $("ask-input").select();
  return new Promise((resolve) => {
    $("ask").onclose = () => resolve($("ask").returnValue === "ok" ? $("ask-input").value.trim() : null);
  });
}

// ---- conversations

function save(changed) {
  try {
    chats.save(changed);
  } catch (problem) {
    notify(problem);
  }
}

async function rename() {
  const renamed = chat;
  const title = await ask("Name of the conversation", "", renamed.title);
  if (!title) return;
  renamed.title = title;
  save(renamed);
  refresh();
}

function remove() {
  const removed = chat;
  running.get(removed.id)?.abort();
  chats.delete(removed.id);
  go("");
  notify(`Deleted “${removed.title}”.`, ["Undo", () => (save(removed), go(removed.id))]);
}

function download(name, list) {
  const url = URL.createObjectURL(new Blob([exported(list)], { type: "application/json" }));
  element("a", { href: url, download: `${name.replace(/[^\p{L}\p{N} ._-]/gu, "")}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

async function importFile() {
  const [file] = $("file").files;
  $("file").value = "";
  try {
    const added = chats.import(await file.text());
    notify(added ? `Imported ${added} ${added === 1 ? "conversation" : "conversations"}.` : "All of these conversations are here already.");
  } catch (problem) {
    notify(problem);
  }
  refresh();
}

// ---- wiring

$("composer").onsubmit = (event) => {
  event.preventDefault();
  const text = $("input").value.trim();
  if (!text || running.has(chat.id)) return;
  $("input").value = "";
  send(text);
};
$("input").onkeydown = submitOnEnter;
$("stop").onclick = () => (running.get(chat.id)?.abort(), $("input").focus());
document.onkeydown = (event) => {
  const closes = document.querySelector(":popover-open, dialog[open], .editing");
  if (event.key === "Escape" && !event.isComposing && !closes) running.get(chat.id)?.abort();
};
$("system-text").oninput = (event) => {
  chat.system = event.target.value.trim();
  $("system-start").textContent = chat.system ? `: ${chat.system}` : "";
};
$("system-text").onchange = () => chats.get(chat.id) && save(chat);
$("model").onchange = (event) => {
  chat.model = event.target.value;
  localStorage.setItem("gpt4all.model", chat.model);
  if (chats.get(chat.id)) save(chat);
};
document.onclick = (event) => {
  const link = event.target.closest("a[href^='#']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.hash.slice(1));
};
$("cancel").onclick = () => $("ask").close();
for (const button of $("actions").children) button.addEventListener("click", () => $("actions").hidePopover());
$("rename").onclick = rename;
$("delete").onclick = remove;
$("export").onclick = () => download(chat.title, [chat]);
$("export-all").onclick = () => download("gpt4all-conversations", chats.all());
$("import").onclick = () => $("file").click();
$("file").onchange = importFile;
$("latest").onclick = () => ((pinned = true), toEnd(), $("input").focus());
$("log").onscroll = () => {
  const { scrollHeight, scrollTop, clientHeight } = $("log");
  // What grew since the last frame is no wish to look elsewhere; going up is.
  pinned = scrollHeight - scrollTop - clientHeight < 32 || (pinned && scrollTop >= scrolled);
  scrolled = scrollTop;
  $("latest").hidden = pinned;
};
const sizes = new ResizeObserver(toEnd);
sizes.observe($("thread"));
sizes.observe($("log"));
window.onhashchange = route;
window.onpagehide = () => {
  leaving = true; // what breaks off from here on is no failure
  running.forEach((_, id) => save(chats.get(id)));
};
window.onpageshow = ({ persisted }) => persisted && location.reload();
window.onstorage = ({ key }) => {
  if (running.has(chat.id) || !chats.reload(key)) return;
  const known = chats.get(chat.id);
  if (known && known !== chat) show(known);
  else refresh();
};

route();
loadModels();

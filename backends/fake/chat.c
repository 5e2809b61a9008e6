/*
 * Chats: no template engine, one fixed form.
 *
 * Whatever the template, each message becomes "[role]", its content and a line
 * end, and the generation prompt is "[assistant]"; of these only the content
 * comes from a message. Of the template is read
 *
 *     broken                    alone: it is broken, and so is {% without %}
 *     raise_exception('TEXT')   the conversation is refused with TEXT
 *     <think>                   the generation prompt ends with "<think>" and a line
 *                               end, unless args_json has "enable_thinking": false
 *
 * Content in parts is not known here, nor are tools.
 */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

/* JSON: `at` moves over what is read; any syntax error gives false. */

typedef struct json_reader {
    const char *at;
    int depth;
} json_reader;

static void json_space(json_reader *r) { r->at += strspn(r->at, " \t\r\n"); }

static bool json_take(json_reader *r, char c) {
    json_space(r);
    if (*r->at != c) return false;
    r->at++;
    return true;
}

static bool json_hex(json_reader *r, uint32_t *value) {
    char digits[5] = {0}, *end;
    for (int i = 0; i < 4; i++) {
        if (r->at[i] == '\0') return false;
        digits[i] = r->at[i];
    }
    *value = (uint32_t)strtoul(digits, &end, 16);
    if (end != digits + 4) return false;
    r->at += 4;
    return true;
}

static size_t json_utf8(uint32_t c, char *to) {
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    size_t n = c < 0x10000 ? 3 : 4;
    to[0] = (char)(n == 3 ? 0xE0 | c >> 12 : 0xF0 | c >> 18);
    for (size_t i = 1; i < n; i++) to[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3F));
    return n;
}

static bool json_escape(json_reader *r, char *to, size_t *n) {
    static const char codes[] = "\"\\/bfnrt", characters[] = "\"\\/\b\f\n\r\t";
    const char c = *r->at;
    const char *found = c == '\0' ? NULL : strchr(codes, c);
    uint32_t unit, low;
    if (c == '\0') return false;
    r->at++;
    if (found != NULL) {
        to[(*n)++] = characters[found - codes];
        return true;
    }
    if (c != 'u' || !json_hex(r, &unit)) return false;
    if (unit >= 0xD800 && unit < 0xDC00 && r->at[0] == '\\' && r->at[1] == 'u') {
        r->at += 2;
        if (!json_hex(r, &low)) return false;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    *n += json_utf8(unit, to + *n);
    return true;
}

/* `text` may be NULL to skip it; otherwise the caller frees it. */
static bool json_string(json_reader *r, char **text, size_t *length) {
    if (!json_take(r, '"')) return false;
    char *copy = malloc(strlen(r->at) + 1);
    size_t n = 0;
    bool valid = copy != NULL;
    while (valid && *r->at != '"') {
        const char c = *r->at;
        if (c == '\0')
            valid = false;
        else {
            r->at++;
            if (c == '\\')
                valid = json_escape(r, copy, &n);
            else
                copy[n++] = c;
        }
    }
    if (valid) r->at++;
    if (valid && text != NULL) {
        copy[n] = '\0';
        *text = copy;
        if (length != NULL) *length = n;
    } else
        free(copy);
    return valid;
}

static bool json_skip(json_reader *r) {
    json_space(r);
    const char open = *r->at, close = open == '{' ? '}' : ']';
    if (open == '"') return json_string(r, NULL, NULL);
    if (open != '{' && open != '[') {
        size_t n = strcspn(r->at, ",]} \t\r\n");
        r->at += n;
        return n > 0;
    }
    if (r->depth == 64) return false;
    r->at++;
    r->depth++;
    bool more = !json_take(r, close), valid = true;
    while (more && valid) {
        if (open == '{') valid = json_string(r, NULL, NULL) && json_take(r, ':');
        valid = valid && json_skip(r);
        more = valid && json_take(r, ',');
        if (valid && !more) valid = json_take(r, close);
    }
    r->depth--;
    return valid;
}

/* One message */

typedef struct chat_message {
    char *role, *content;
    size_t content_length;
} chat_message;

static void free_message(chat_message *message) {
    free(message->role);
    free(message->content);
    *message = (chat_message){NULL, NULL, 0};
}

static bool read_message(json_reader *r, chat_message *message) {
    if (!json_take(r, '{')) return false;
    bool more = !json_take(r, '}'), valid = true;
    while (more && valid) {
        char *key = NULL;
        valid = json_string(r, &key, NULL) && json_take(r, ':');
        json_space(r);
        if (valid && strcmp(key, "role") == 0 && message->role == NULL)
            valid = json_string(r, &message->role, NULL);
        else if (valid && strcmp(key, "content") == 0 && *r->at == '"' && message->content == NULL)
            valid = json_string(r, &message->content, &message->content_length);
        else
            valid = valid && json_skip(r);
        free(key);
        more = valid && json_take(r, ',');
        if (valid && !more) valid = json_take(r, '}');
    }
    return valid && message->role != NULL;
}

/* Parts, which end when the callback says so */

typedef struct part_sink {
    gpt4all_part_callback callback;
    void *payload;
    bool stopped;
} part_sink;

static void send_part(part_sink *sink, const char *text, size_t length, bool from_message) {
    if (sink->stopped || length == 0) return;
    sink->stopped = sink->callback(text, (int64_t)length, from_message, sink->payload) != 0;
}

static void send_text(part_sink *sink, const char *text) { send_part(sink, text, strlen(text), false); }

static bool send_message(part_sink *sink, const chat_message *message) {
    const size_t length = strlen(message->role) + 2;
    char *head = malloc(length);
    if (head == NULL) return false;
    head[0] = '[';
    memcpy(head + 1, message->role, length - 2);
    head[length - 1] = ']';
    send_part(sink, head, length, false);
    free(head);
    send_part(sink, message->content == NULL ? "" : message->content, message->content_length, true);
    send_text(sink, "\n");
    return true;
}

/* false: no list of messages. With `sink` NULL it is only checked. */
static bool read_messages(const char *json, part_sink *sink) {
    json_reader r = {json, 0};
    if (!json_take(&r, '[')) return false;
    bool more = !json_take(&r, ']'), valid = true;
    while (more && valid) {
        chat_message message = {NULL, NULL, 0};
        valid = read_message(&r, &message);
        if (valid && sink != NULL) valid = send_message(sink, &message);
        free_message(&message);
        more = valid && json_take(&r, ',');
        if (valid && !more) valid = json_take(&r, ']');
    }
    json_space(&r);
    return valid && *r.at == '\0';
}

/* Whether args_json is an object; `thinks` becomes false where it says so. */
static bool read_args(const char *json, bool *thinks) {
    json_reader r = {json, 0};
    if (json == NULL) return true;
    if (!json_take(&r, '{')) return false;
    bool more = !json_take(&r, '}'), valid = true;
    while (more && valid) {
        char *key = NULL;
        valid = json_string(&r, &key, NULL) && json_take(&r, ':');
        json_space(&r);
        if (valid && strcmp(key, "enable_thinking") == 0 && strncmp(r.at, "false", 5) == 0) *thinks = false;
        valid = valid && json_skip(&r);
        free(key);
        more = valid && json_take(&r, ',');
        if (valid && !more) valid = json_take(&r, '}');
    }
    json_space(&r);
    return valid && *r.at == '\0';
}

static gpt4all_status check_template(const char *text) {
    static const char refusal[] = "raise_exception('";
    const char *at = strstr(text, refusal), *block = strstr(text, "{%");
    if (strcmp(text, "broken") == 0 || (block != NULL && strstr(block, "%}") == NULL))
        return fail(GPT4ALL_ERROR_TEMPLATE, "the chat template is broken: a block has no end");
    if (at == NULL) return GPT4ALL_OK;
    at += sizeof refusal - 1;
    return fail(GPT4ALL_ERROR_TEMPLATE, "the chat template refuses the conversation: %.*s", (int)strcspn(at, "'"), at);
}

gpt4all_status gpt4all_chat_render(const gpt4all_model *model, const char *chat_template, const char *messages_json,
                                   const char *args_json, int32_t add_generation_prompt, const int32_t *cancel,
                                   gpt4all_part_callback callback, void *payload) {
    forget_error();
    if (model == NULL) return null_argument("model");
    if (messages_json == NULL) return null_argument("messages_json");
    if (callback == NULL) return null_argument("callback");
    bool thinks = true;
    if (!read_messages(messages_json, NULL))
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "messages_json is no list of messages");
    if (!read_args(args_json, &thinks)) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "args_json is no object");
    const char *template = chat_template == NULL ? model->chat_template : chat_template;
    if (template == NULL || (chat_template == NULL && *template == '\0'))
        return fail(GPT4ALL_ERROR_TEMPLATE, "the model brings no chat template");
    gpt4all_status status = check_template(template);
    if (status != GPT4ALL_OK) return status;
    if (is_set(cancel)) return fail(GPT4ALL_ERROR_CANCELLED, "the call was stopped");

    part_sink sink = {callback, payload, false};
    if (!read_messages(messages_json, &sink)) return out_of_memory();
    if (add_generation_prompt == 0) return GPT4ALL_OK;
    send_text(&sink, thinks && strstr(template, "<think>") != NULL ? "[assistant]<think>\n" : "[assistant]");
    return GPT4ALL_OK;
}

/*
 * Tools: of tools_json is checked only that it is an object; the prompt is that
 * of gpt4all_chat_render, and the answer is the script's, whatever the tools.
 */
#include "answer_text.h"
#include "fake.h"

#include <stdlib.h>
#include <string.h>

struct gpt4all_chat {
    bool thinks; /* the prompt began it */
};

typedef struct prompt_sink {
    gpt4all_part_callback callback;
    void *payload;
    bool thinks;
} prompt_sink;

static int32_t take_part(const char *text, int64_t length, int32_t from_message, void *payload) {
    prompt_sink *sink = payload;
    sink->thinks = from_message == 0 && length >= 8 && memcmp(text + length - 8, "<think>\n", 8) == 0;
    return sink->callback(text, length, from_message, sink->payload);
}

gpt4all_status gpt4all_chat_prepare(const gpt4all_model *model, const char *chat_template, const char *messages_json,
                                    const char *tools_json, const char *args_json, const int32_t *cancel,
                                    gpt4all_part_callback callback, void *payload, gpt4all_chat **chat) {
    forget_error();
    if (chat == NULL) return null_argument("chat");
    *chat = NULL;
    if (model == NULL) return null_argument("model");
    if (tools_json == NULL) return null_argument("tools_json");
    if (callback == NULL) return null_argument("callback");
    if (tools_json[0] != '{') return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "tools_json is no object");
    prompt_sink sink = {callback, payload, false};
    const gpt4all_status status =
        gpt4all_chat_render(model, chat_template, messages_json, args_json, 1, cancel, take_part, &sink);
    if (status != GPT4ALL_OK) return status;
    *chat = malloc(sizeof **chat);
    if (*chat == NULL) return out_of_memory();
    (*chat)->thinks = sink.thinks;
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_chat_parse(const gpt4all_chat *chat, const char *text, int64_t text_len, int32_t is_partial,
                                  const int32_t *cancel, gpt4all_part_callback callback, void *payload) {
    forget_error();
    if (chat == NULL) return null_argument("chat");
    if (text_len < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "text_len must not be negative");
    if (text_len > 0 && text == NULL) return null_argument("text");
    if (callback == NULL) return null_argument("callback");
    if (is_set(cancel)) return fail(GPT4ALL_ERROR_CANCELLED, "the call was stopped");
    tell_answer(text, text_len, chat->thinks, is_partial, callback, payload);
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_chat_describe(const gpt4all_chat *chat, gpt4all_part_callback callback, void *payload) {
    static const char facts[] =
        "{\"format\":\"generic\",\"grammar\":\"\",\"triggers\":[\"<tool_call>\"],\"waits\":true,\"stops\":[]}";
    forget_error();
    if (chat == NULL) return null_argument("chat");
    if (callback == NULL) return null_argument("callback");
    callback(facts, (int64_t)(sizeof facts - 1), 0, payload);
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_chat_free(gpt4all_chat *chat) {
    forget_error();
    free(chat);
    return GPT4ALL_OK;
}

/* Text to tokens and back: bytes, and the texts of the script. */
#include "fake.h"

#include <string.h>

text_view text_of_token(const gpt4all_model *model, int32_t token) {
    static const char begin[] = "<|begin|>", end[] = "<|end|>", unknown[] = "<|unk|>";
    if (token == TOKEN_BEGIN) return (text_view){begin, sizeof begin - 1};
    if (token == TOKEN_END) return (text_view){end, sizeof end - 1};
    if (token >= TOKEN_FIRST_SCRIPTED && token - TOKEN_FIRST_SCRIPTED < (int64_t)model->n_tokens)
        return model->tokens[token - TOKEN_FIRST_SCRIPTED].text;
    if (token >= TOKEN_FIRST_BYTE && token < TOKEN_FIRST_SCRIPTED)
        return (text_view){&model->byte_texts[token - TOKEN_FIRST_BYTE], 1};
    return (text_view){unknown, sizeof unknown - 1};
}

bool is_control(const gpt4all_model *model, int32_t token) {
    if (token < TOKEN_FIRST_BYTE) return true;
    int64_t index = (int64_t)token - TOKEN_FIRST_SCRIPTED;
    return index >= 0 && index < (int64_t)model->n_tokens && model->tokens[index].control;
}

/* The longest control token written at the start of `text`, or -1. */
static int32_t control_token_at(const gpt4all_model *model, text_view text) {
    const int32_t end = TOKEN_FIRST_SCRIPTED + (int32_t)model->n_tokens;
    int32_t found = -1;
    size_t longest = 0;
    for (int32_t token = 0; token < end; token++) {
        if (token == TOKEN_FIRST_BYTE) token = TOKEN_FIRST_SCRIPTED;
        if (token >= end || !is_control(model, token)) continue;
        text_view name = text_of_token(model, token);
        if (name.length <= longest || name.length > text.length) continue;
        if (memcmp(name.data, text.data, name.length) != 0) continue;
        found = token;
        longest = name.length;
    }
    return found;
}

gpt4all_status check_tokens(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens) {
    if (n_tokens < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "n_tokens %d is negative", (int)n_tokens);
    if (tokens == NULL && n_tokens > 0) return null_argument("tokens");
    for (int32_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= model->n_vocab)
            return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "tokens[%d] is %d, outside the vocabulary of %lld", (int)i,
                        (int)tokens[i], (long long)model->n_vocab);
    return GPT4ALL_OK;
}

/* Ids that go to the caller's buffer as far as they fit. */
typedef struct token_sink {
    int32_t *tokens;
    int32_t capacity;
    int32_t n;
} token_sink;

static void put_token(token_sink *sink, int32_t token) {
    if (sink->n < sink->capacity) sink->tokens[sink->n] = token;
    sink->n++;
}

static void put_text(const gpt4all_model *model, token_sink *sink, text_view text, bool parse_special) {
    for (size_t at = 0; at < text.length;) {
        int32_t token = -1;
        if (parse_special) token = control_token_at(model, (text_view){text.data + at, text.length - at});
        if (token < 0) token = TOKEN_FIRST_BYTE + (unsigned char)text.data[at];
        at += text_of_token(model, token).length;
        put_token(sink, token);
    }
}

static gpt4all_status check_token_buffer(const gpt4all_model *model, const int32_t *tokens, int32_t capacity,
                                         const int32_t *count) {
    if (model == NULL) return null_argument("model");
    if (count == NULL) return null_argument("count");
    if (tokens == NULL && capacity > 0) return null_argument("tokens");
    if (capacity < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "capacity %d is negative", (int)capacity);
    return GPT4ALL_OK;
}

static gpt4all_status finish_tokens(const token_sink *sink, int32_t *count) {
    *count = sink->n;
    if (sink->n <= sink->capacity) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "%d tokens do not fit a buffer of %d", (int)sink->n,
                (int)sink->capacity);
}

gpt4all_status gpt4all_tokenize(const gpt4all_model *model, const char *text, int64_t text_len, int32_t flags,
                                const int32_t *cancel, int32_t *tokens, int32_t capacity, int32_t *count) {
    const int32_t known_flags = GPT4ALL_TOKENIZE_ADD_SPECIAL | GPT4ALL_TOKENIZE_PARSE_SPECIAL;
    forget_error();
    gpt4all_status status = check_token_buffer(model, tokens, capacity, count);
    if (status != GPT4ALL_OK) return status;
    if (text == NULL && text_len > 0) return null_argument("text");
    if (text_len < 0 || text_len >= INT32_MAX)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "text_len %lld is out of range", (long long)text_len);
    if ((flags & ~known_flags) != 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "flags %d are unknown", (int)flags);

    if (is_set(cancel)) return fail(GPT4ALL_ERROR_CANCELLED, "tokenising was cancelled");
    token_sink sink = {tokens, capacity, 0};
    if ((flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) && model->add_bos) put_token(&sink, TOKEN_BEGIN);
    put_text(model, &sink, (text_view){text, (size_t)text_len}, (flags & GPT4ALL_TOKENIZE_PARSE_SPECIAL) != 0);
    return finish_tokens(&sink, count);
}

static gpt4all_status check_parts(const gpt4all_text_part *parts, int64_t n_parts) {
    const gpt4all_status bad = GPT4ALL_ERROR_INVALID_ARGUMENT;
    int64_t total = 0;
    if (n_parts < 0) return fail(bad, "n_parts %lld is negative", (long long)n_parts);
    if (parts == NULL && n_parts > 0) return null_argument("parts");
    for (int64_t i = 0; i < n_parts; i++) {
        if (parts[i].length < 0 || parts[i].length >= INT32_MAX - total)
            return fail(bad, "parts[%lld].length %lld is out of range", (long long)i, (long long)parts[i].length);
        if (parts[i].data == NULL && parts[i].length > 0)
            return fail(bad, "parts[%lld].data must not be NULL", (long long)i);
        if (parts[i].reserved != 0) return fail(bad, "parts[%lld].reserved is not 0", (long long)i);
        total += parts[i].length;
    }
    return GPT4ALL_OK;
}

gpt4all_status gpt4all_tokenize_parts(const gpt4all_model *model, const gpt4all_text_part *parts, int64_t n_parts,
                                      int32_t flags, const int32_t *cancel, int32_t *tokens, int32_t capacity,
                                      int32_t *count) {
    forget_error();
    gpt4all_status status = check_token_buffer(model, tokens, capacity, count);
    if (status == GPT4ALL_OK) status = check_parts(parts, n_parts);
    if (status != GPT4ALL_OK) return status;
    if ((flags & ~GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0)
        return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "flags %d are unknown", (int)flags);

    if (is_set(cancel)) return fail(GPT4ALL_ERROR_CANCELLED, "tokenising was cancelled");
    token_sink sink = {tokens, capacity, 0};
    if ((flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) && model->add_bos) put_token(&sink, TOKEN_BEGIN);
    for (int64_t i = 0; i < n_parts; i++)
        put_text(model, &sink, (text_view){parts[i].data, (size_t)parts[i].length}, parts[i].parse_special != 0);
    return finish_tokens(&sink, count);
}

gpt4all_status gpt4all_detokenize(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens, char *text,
                                  int64_t capacity, int64_t *length) {
    forget_error();
    if (model == NULL) return null_argument("model");
    if (length == NULL) return null_argument("length");
    if (text == NULL && capacity > 0) return null_argument("text");
    if (capacity < 0) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "capacity %lld is negative", (long long)capacity);
    gpt4all_status status = check_tokens(model, tokens, n_tokens);
    if (status != GPT4ALL_OK) return status;
    int64_t n = 0;
    for (int32_t i = 0; i < n_tokens; i++) {
        text_view piece = text_of_token(model, tokens[i]);
        if (n + (int64_t)piece.length <= capacity) memcpy(text + n, piece.data, piece.length);
        n += (int64_t)piece.length;
    }
    *length = n;
    if (n <= capacity) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "%lld bytes do not fit a buffer of %lld", (long long)n,
                (long long)capacity);
}

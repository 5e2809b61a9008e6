#include "model/model.h"
#include "tokens/tokenize_cancel.h"
#include "tokens/vocabulary.h"

#include <cstring>
#include <limits>
#include <string>

namespace gpt4all {
namespace {

constexpr int64_t MAX_TEXT = std::numeric_limits<int32_t>::max();

// In memory of our own: without enough room the engine tells more bytes than
// it needs for vocabularies whose spaces are tidied up at the end.
std::string detokenize(const llama_vocab *vocab, const int32_t *tokens, int32_t n_tokens) {
    std::string text(static_cast<std::size_t>(n_tokens) * 8 + 16, '\0');
    int32_t n = 0;
    for (;;) {
        n = llama_detokenize(vocab, tokens, n_tokens, text.data(), static_cast<int32_t>(text.size()), false, true);
        if (n >= 0) break;
        text.resize(static_cast<std::size_t>(-static_cast<int64_t>(n)));
    }
    text.resize(static_cast<std::size_t>(n));
    return text;
}

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_tokenize(const gpt4all_model *model, const char *text, int64_t text_len, int32_t flags,
                                const int32_t *cancel, int32_t *tokens, int32_t capacity, int32_t *count) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(count, "count");
        *count = 0;
        if (text_len < 0 || text_len > MAX_TEXT) invalid_argument("text_len is negative or over 2 GiB");
        if (text_len > 0) require(text, "text");
        if (capacity < 0) invalid_argument("capacity must not be negative");
        if (capacity > 0) require(tokens, "tokens");
        if ((flags & ~(GPT4ALL_TOKENIZE_ADD_SPECIAL | GPT4ALL_TOKENIZE_PARSE_SPECIAL)) != 0) {
            invalid_argument("flags has a bit this library does not know");
        }
        const TokenizeCancel scope(cancel);
        const int32_t n =
            llama_tokenize(model->vocab, text == nullptr ? "" : text, static_cast<int32_t>(text_len), tokens, capacity,
                           (flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0, (flags & GPT4ALL_TOKENIZE_PARSE_SPECIAL) != 0);
        if (n == std::numeric_limits<int32_t>::min())
            throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, "text has too many tokens");
        *count = n < 0 ? -n : n;
        if (n < 0) {
            throw Error(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "the text has " + std::to_string(-n) + " tokens, but only " +
                                                            std::to_string(capacity) + " fit");
        }
    });
}

gpt4all_status gpt4all_detokenize(const gpt4all_model *model, const int32_t *tokens, int32_t n_tokens, char *text,
                                  int64_t capacity, int64_t *length) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(length, "length");
        *length = 0;
        if (n_tokens < 0 || n_tokens > MAX_TEXT / 16) invalid_argument("n_tokens is negative or over 128 Mi");
        if (n_tokens > 0) require(tokens, "tokens");
        if (capacity < 0) invalid_argument("capacity must not be negative");
        if (capacity > 0) require(text, "text");
        for (int32_t i = 0; i < n_tokens; i++) check_token(model->vocab, tokens[i]);
        if (n_tokens == 0) return;
        const std::string made = detokenize(model->vocab, tokens, n_tokens);
        *length = static_cast<int64_t>(made.size());
        if (*length > capacity) {
            throw Error(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "the text has " + std::to_string(*length) +
                                                            " bytes, but only " + std::to_string(capacity) + " fit");
        }
        if (!made.empty()) std::memcpy(text, made.data(), made.size());
    });
}

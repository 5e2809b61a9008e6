#include "api/buffers.h"
#include "api/handle.h"
#include "base/guard.h"
#include "tokens/part_tokenizer.h"
#include "tokens/tokenize_cancel.h"
#include "tokens/tokenizer.h"
#include "tokens/vocabulary.h"

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace gpt4all {
namespace {

void check_parts(const gpt4all_text_part *parts, int64_t n_parts) {
    int64_t total = 0;
    for (int64_t i = 0; i < n_parts; i++) {
        const gpt4all_text_part &part = parts[i];
        const std::string name = "parts[" + std::to_string(i) + "]";
        if (part.length < 0 || part.length > MAX_TEXT - total)
            invalid_argument(name + " has a negative length, or one too many");
        if (part.length > 0) require(part.data, (name + ".data").c_str());
        if (part.reserved != 0) invalid_argument(name + ".reserved is not 0");
        total += part.length;
    }
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
        require_buffer(tokens, capacity, "tokens");
        if ((flags & ~(GPT4ALL_TOKENIZE_ADD_SPECIAL | GPT4ALL_TOKENIZE_PARSE_SPECIAL)) != 0) {
            invalid_argument("flags has a bit this library does not know");
        }
        const TokenizeCancel scope(cancel);
        const std::string_view given(text == nullptr ? "" : text, static_cast<std::size_t>(text_len));
        *count = tokenize(model->model.vocab, given, (flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0,
                          (flags & GPT4ALL_TOKENIZE_PARSE_SPECIAL) != 0, tokens, capacity);
        require_room(*count, capacity, "the text has", "tokens");
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
        require_buffer(text, capacity, "text");
        check_tokens(model->model.vocab, tokens, n_tokens);
        if (n_tokens == 0) return;
        const std::string made = detokenize(model->model.vocab, tokens, n_tokens);
        *length = static_cast<int64_t>(made.size());
        require_room(*length, capacity, "the text has", "bytes");
        if (!made.empty()) std::memcpy(text, made.data(), made.size());
    });
}

gpt4all_status gpt4all_tokenize_parts(const gpt4all_model *model, const gpt4all_text_part *parts, int64_t n_parts,
                                      int32_t flags, const int32_t *cancel, int32_t *tokens, int32_t capacity,
                                      int32_t *count) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(count, "count");
        *count = 0;
        if (n_parts < 0) invalid_argument("n_parts must not be negative");
        if (n_parts > 0) require(parts, "parts");
        require_buffer(tokens, capacity, "tokens");
        if ((flags & ~GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0) invalid_argument("flags has a bit that parts do not take");
        check_parts(parts, n_parts);
        const TokenizeCancel scope(cancel);
        const std::vector<llama_token> made = tokenize_parts(model->model.vocab, *model->model.marks, parts, n_parts,
                                                             (flags & GPT4ALL_TOKENIZE_ADD_SPECIAL) != 0);
        *count = static_cast<int32_t>(made.size());
        require_room(static_cast<int64_t>(made.size()), capacity, "the text has", "tokens");
        if (!made.empty()) std::memcpy(tokens, made.data(), made.size() * sizeof(llama_token));
    });
}

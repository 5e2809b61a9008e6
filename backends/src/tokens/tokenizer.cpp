#include "tokens/tokenizer.h"

#include "base/guard.h"

#include <cstddef>
#include <limits>

namespace gpt4all {

int32_t tokenize(const llama_vocab *vocab, std::string_view text, bool add_special, bool parse_special,
                 llama_token *tokens, int32_t capacity) {
    const int32_t n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens, capacity,
                                     add_special, parse_special);
    if (n == std::numeric_limits<int32_t>::min()) invalid_argument("the text has too many tokens");
    return n < 0 ? -n : n;
}

// In memory of our own: without enough room the engine tells more bytes than
// it needs for vocabularies whose spaces are tidied up at the end.
std::string detokenize(const llama_vocab *vocab, const llama_token *tokens, int32_t n_tokens) {
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

} // namespace gpt4all

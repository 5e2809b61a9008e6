#include "vocabulary.h"

#include <algorithm>

namespace gpt4all {

std::string token_text(const llama_vocab *vocab, llama_token token, bool special) {
    std::string text(32, '\0');
    int32_t n = llama_token_to_piece(vocab, token, text.data(), static_cast<int32_t>(text.size()), 0, special);
    if (n < 0) {
        text.resize(static_cast<std::size_t>(-n));
        n = llama_token_to_piece(vocab, token, text.data(), static_cast<int32_t>(text.size()), 0, special);
    }
    text.resize(static_cast<std::size_t>(std::max(n, 0)));
    return text;
}

Vocabulary::Vocabulary(const llama_vocab *vocab) {
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    ends_.reserve(static_cast<std::size_t>(n_vocab));
    for (llama_token token = 0; token < n_vocab; token++) {
        const std::string text = token_text(vocab, token, false);
        bytes_ += text;
        ends_.push_back(bytes_.size());
        if (!text.empty() && !llama_vocab_is_eog(vocab, token)) sorted_.push_back({token, 0});
    }
    std::sort(sorted_.begin(), sorted_.end(),
              [this](const Entry &a, const Entry &b) { return text(a.token) < text(b.token); });
    for (std::size_t i = 1; i < sorted_.size(); i++) {
        const std::string_view before = text(sorted_[i - 1].token);
        const std::string_view here = text(sorted_[i].token);
        const std::size_t limit = std::min(before.size(), here.size());
        const auto end = std::mismatch(here.begin(), here.begin() + static_cast<std::ptrdiff_t>(limit), before.begin());
        sorted_[i].shared = static_cast<uint32_t>(end.first - here.begin());
    }
}

} // namespace gpt4all

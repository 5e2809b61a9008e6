#include "tokens/vocabulary.h"

#include "base/guard.h"

#include <algorithm>

namespace gpt4all {
namespace {

// Most texts are told apart by their first bytes, which sort as a number.
struct Text {
    uint64_t key;
    std::size_t begin;
    std::size_t length;
    llama_token token;
};

uint64_t first_bytes(std::string_view text) {
    uint64_t key = 0;
    for (std::size_t i = 0; i < sizeof(key); i++)
        key = key << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0u);
    return key;
}

} // namespace

std::string token_text(const llama_vocab *vocab, llama_token token, bool special) {
    if (token < 0) return "";
    std::string text(32, '\0');
    int32_t n = llama_token_to_piece(vocab, token, text.data(), static_cast<int32_t>(text.size()), 0, special);
    if (n < 0) {
        text.resize(static_cast<std::size_t>(-n));
        n = llama_token_to_piece(vocab, token, text.data(), static_cast<int32_t>(text.size()), 0, special);
    }
    text.resize(static_cast<std::size_t>(std::max(n, 0)));
    return text;
}

void check_token(const llama_vocab *vocab, llama_token token, const char *name) {
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    if (token >= 0 && token < n_vocab) return;
    invalid_argument(std::string(name) + " " + std::to_string(token) + " is outside the vocabulary of " +
                     std::to_string(n_vocab));
}

void check_tokens(const llama_vocab *vocab, const llama_token *tokens, int64_t n_tokens) {
    for (int64_t i = 0; i < n_tokens; i++) check_token(vocab, tokens[i]);
}

Vocabulary::Vocabulary(const llama_vocab *vocab)
    : entry_of_(static_cast<std::size_t>(llama_vocab_n_tokens(vocab)), NONE) {
    std::string bytes;
    std::vector<Text> texts;
    for (llama_token token = 0; token < size(); token++) {
        const std::string text = token_text(vocab, token, false);
        if (llama_vocab_is_eog(vocab, token)) ends_.push_back(token);
        if (text.empty()) continue;
        texts.push_back({first_bytes(text), bytes.size(), text.size(), token});
        bytes += text;
    }
    if (bytes.size() > UINT32_MAX)
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "the tokens of the model have more than 4 GiB of text");
    const auto text_of = [&](const Text &text) { return std::string_view(bytes).substr(text.begin, text.length); };
    std::sort(texts.begin(), texts.end(), [&](const Text &a, const Text &b) {
        if (a.key != b.key) return a.key < b.key;
        const int order = text_of(a).compare(text_of(b));
        return order != 0 ? order < 0 : a.token < b.token;
    });
    bytes_.reserve(bytes.size());
    entries_.reserve(texts.size() + 1);
    for (const Text &text : texts) {
        entry_of_[static_cast<std::size_t>(text.token)] = static_cast<uint32_t>(entries_.size());
        entries_.push_back({text.token, static_cast<uint32_t>(bytes_.size()), 0, 0});
        bytes_ += text_of(text);
    }
    entries_.push_back({-1, static_cast<uint32_t>(bytes_.size()), 0, 0});
    link();
}

// Says of each entry what it has in common with its neighbours.
void Vocabulary::link() {
    std::string_view before;
    for (std::size_t i = 0; i < n_entries(); i++) {
        const std::string_view here = entry_text(i);
        const auto limit = static_cast<std::ptrdiff_t>(std::min(before.size(), here.size()));
        const auto end = std::mismatch(here.begin(), here.begin() + limit, before.begin());
        entries_[i].shared = static_cast<uint32_t>(end.first - here.begin());
        before = here;
    }
    for (std::size_t i = n_entries(); i-- > 0;) entries_[i].next = static_cast<uint32_t>(after(i, entries_[i].shared));
}

} // namespace gpt4all

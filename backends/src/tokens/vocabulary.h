// The texts of a model's tokens.
#pragma once

#include "llama.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gpt4all {

// A token's bytes, as they stand in generated text. Control tokens have some
// only if `special`; one that a model does not have, LLAMA_TOKEN_NULL, has none.
std::string token_text(const llama_vocab *vocab, llama_token token, bool special);

// Refuses a caller's token that is none.
void check_token(const llama_vocab *vocab, llama_token token, const char *name = "token");
void check_tokens(const llama_vocab *vocab, const llama_token *tokens, int64_t n_tokens);

// All of them at once, as plain text, and as a trie: in order, so that tokens
// with a common beginning are neighbours. Some 28 bytes a token.
class Vocabulary {
public:
    struct Entry {
        llama_token token;
        uint32_t begin;  // of its text
        uint32_t shared; // leading bytes in common with the entry before
        uint32_t next;   // entry after those that share more than that with this one
    };

    explicit Vocabulary(const llama_vocab *vocab);

    int32_t size() const { return static_cast<int32_t>(entry_of_.size()); }

    // Those that have a text.
    std::size_t n_entries() const { return entries_.size() - 1; }
    const Entry &entry(std::size_t i) const { return entries_[i]; }
    std::string_view entry_text(std::size_t i) const {
        return {bytes_.data() + entries_[i].begin, entries_[i + 1].begin - entries_[i].begin};
    }

    // The first entry after one that does not begin with more than so many of its bytes.
    std::size_t after(std::size_t i, std::size_t shared) const {
        std::size_t next = i + 1;
        while (entries_[next].shared > shared) next = entries_[next].next;
        return next;
    }

    std::string_view text(llama_token token) const {
        const uint32_t entry = entry_of_[static_cast<std::size_t>(token)];
        return entry == NONE ? std::string_view() : entry_text(entry);
    }

    // Those that end the generation.
    const std::vector<llama_token> &ends() const { return ends_; }

private:
    static constexpr uint32_t NONE = UINT32_MAX;

    void link();

    std::string bytes_;          // of all texts, in the order of the entries
    std::vector<Entry> entries_; // and one more, where their texts end
    std::vector<uint32_t> entry_of_;
    std::vector<llama_token> ends_;
};

} // namespace gpt4all

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
// only if `special`.
std::string token_text(const llama_vocab *vocab, llama_token token, bool special);

// All of them at once, as plain text, and in an order in which neighbours
// share their beginnings.
class Vocabulary {
public:
    struct Entry {
        llama_token token;
        uint32_t shared; // leading bytes in common with the entry before
    };

    explicit Vocabulary(const llama_vocab *vocab);

    int32_t size() const { return static_cast<int32_t>(ends_.size()); }

    std::string_view text(llama_token token) const {
        const std::size_t begin = token == 0 ? 0 : ends_[static_cast<std::size_t>(token) - 1];
        return std::string_view(bytes_).substr(begin, ends_[static_cast<std::size_t>(token)] - begin);
    }

    // Tokens that have a text and do not end the generation.
    const std::vector<Entry> &sorted() const { return sorted_; }

private:
    std::string bytes_;
    std::vector<std::size_t> ends_;
    std::vector<Entry> sorted_;
};

} // namespace gpt4all

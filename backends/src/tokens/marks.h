// The tokens of a vocabulary that are looked for in the text as it stands,
// before anything else: control tokens, and those that a model adds of its own.
#pragma once

#include "llama.h"

#include <array>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace gpt4all {

struct TokenMark {
    std::string text;
    llama_token id;
    bool control; // steers a chat, whatever the vocabulary calls it
    bool strips_left;
    bool strips_right;
};

struct MarkMatch {
    std::size_t at;
    const TokenMark *mark;
};

class TokenMarks {
public:
    // Where the marks stand that the engine would find, in order; a longer one wins.
    std::vector<MarkMatch> find(const llama_vocab *vocab, std::string_view text);

    // Every place of a mark that steers a chat, but would be found in plain text as well.
    std::vector<MarkMatch> find_unprotected(const llama_vocab *vocab, std::string_view text);

private:
    void collect(const llama_vocab *vocab);
    std::vector<MarkMatch> find_all(std::string_view text,
                                    const std::array<std::vector<std::size_t>, 256> &index) const;

    std::once_flag collected_;
    std::vector<TokenMark> marks_;
    // Places in `marks_` by first byte.
    std::array<std::vector<std::size_t>, 256> all_;
    std::array<std::vector<std::size_t>, 256> unprotected_;
};

} // namespace gpt4all

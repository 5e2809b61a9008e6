// What grammars and draws use of llama.h, over a vocabulary that is a list of
// texts: in its place where only their own sources are compiled.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

using llama_token = int32_t;

#define LLAMA_TOKEN_NULL (-1)

struct llama_token_data {
    llama_token id;
    float logit;
    float p;
};

struct llama_vocab {
    std::vector<std::string> texts;
    llama_token end = -1;     // ends the generation
    llama_token control = -1; // has no text unless marks are asked for, as `end`
};

inline int32_t llama_vocab_n_tokens(const llama_vocab *vocab) { return static_cast<int32_t>(vocab->texts.size()); }

inline bool llama_vocab_is_eog(const llama_vocab *vocab, llama_token token) { return token == vocab->end; }

inline int32_t llama_token_to_piece(const llama_vocab *vocab, llama_token token, char *buffer, int32_t capacity,
                                    int32_t, bool special) {
    if ((token == vocab->end || token == vocab->control) && !special) return 0;
    const std::string &text = vocab->texts.at(static_cast<std::size_t>(token));
    const auto length = static_cast<int32_t>(text.size());
    if (length > capacity) return -length;
    std::memcpy(buffer, text.data(), text.size());
    return length;
}

// Only what is one token matters.
inline int32_t llama_tokenize(const llama_vocab *vocab, const char *text, int32_t length, llama_token *tokens, int32_t,
                              bool, bool) {
    for (std::size_t id = 0; id < vocab->texts.size(); id++) {
        if (vocab->texts[id] != std::string_view(text, static_cast<std::size_t>(length))) continue;
        tokens[0] = static_cast<llama_token>(id);
        return 1;
    }
    return -3;
}

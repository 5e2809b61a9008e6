// Text to tokens and back, as the engine does it.
#pragma once

#include "llama.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace gpt4all {

// Of one text, in bytes.
constexpr int64_t MAX_TEXT = INT32_MAX;

// Writes the tokens to `tokens` if `capacity` is enough for them. How many they are.
int32_t tokenize(const llama_vocab *vocab, std::string_view text, bool add_special, bool parse_special,
                 llama_token *tokens, int32_t capacity);

std::string detokenize(const llama_vocab *vocab, const llama_token *tokens, int32_t n_tokens);

} // namespace gpt4all

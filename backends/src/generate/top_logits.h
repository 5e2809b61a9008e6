// The largest of a vocabulary's logits.
#pragma once

#include "llama.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpt4all {

// Minus infinity where there is no number.
float largest_logit(const float *logits, int32_t n);

// The first of the largest; LLAMA_TOKEN_NULL where that is infinite or there is no number.
llama_token find_largest_logit(const float *logits, int32_t n);

// The `most` largest, the largest first, and equal ones by their ids.
void find_top_logits(const float *logits, int32_t n, std::size_t most, std::vector<llama_token_data> &top);

} // namespace gpt4all

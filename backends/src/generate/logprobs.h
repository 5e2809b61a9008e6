// Reports how likely the model itself found each token.
#pragma once

#include "base/guard.h"

#include "llama.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gpt4all {

struct TokenLogprob {
    llama_token token;
    float logprob;
    std::string text;
};

// The token that was chosen, and after it the likeliest ones.
using TokenLogprobs = std::vector<TokenLogprob>;

class LogprobReport {
public:
    LogprobReport(const gpt4all_generate_options &options, const llama_vocab *vocab);

    // Reads n_vocab raw logits. Empty for a caller who did not ask.
    TokenLogprobs measure(const float *logits, llama_token token) const;

    // False when the caller wants no more.
    bool tell(const TokenLogprobs &measured) const;

private:
    gpt4all_logprobs_callback callback_;
    void *payload_;
    const llama_vocab *vocab_;
    int32_t n_vocab_;
    int32_t n_top_;
};

} // namespace gpt4all

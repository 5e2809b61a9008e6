// Reports how likely the model itself found each token.
#pragma once

#include "base/guard.h"

#include "llama.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gpt4all {

class LogprobReport {
public:
    LogprobReport(const gpt4all_generate_options &options, const llama_vocab *vocab);

    // Reads n_vocab raw logits. False when the caller wants no more; does
    // nothing for one who did not ask.
    bool report(const float *logits, llama_token token);

private:
    gpt4all_token_logprob entry(llama_token token, const float *logits, double log_sum);

    gpt4all_logprobs_callback callback_;
    void *payload_;
    const llama_vocab *vocab_;
    int32_t n_vocab_;
    int32_t n_top_;
    std::vector<std::string> texts_; // of the present entries
};

} // namespace gpt4all

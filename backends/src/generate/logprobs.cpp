#include "generate/logprobs.h"

#include "generate/top_logits.h"
#include "tokens/vocabulary.h"

#include <algorithm>
#include <cmath>

namespace gpt4all {
namespace {

// In place of minus infinity, which JSON cannot write.
constexpr double LEAST_LOGPROB = -9999.0;

// The logarithm of the sum that a softmax divides by.
double log_sum_exp(const float *logits, int32_t n) {
    const float largest = *std::max_element(logits, logits + n);
    // Independent sums let the compiler overlap them.
    constexpr int32_t LANES = 8;
    double sums[LANES] = {};
    for (int32_t i = 0; i < n; i++) sums[i % LANES] += static_cast<double>(std::exp(logits[i] - largest));
    double sum = 0;
    for (double lane : sums) sum += lane;
    return static_cast<double>(largest) + std::log(sum);
}

} // namespace

LogprobReport::LogprobReport(const gpt4all_generate_options &options, const llama_vocab *vocab)
    : callback_(options.logprobs), payload_(options.logprobs_payload), vocab_(vocab),
      n_vocab_(llama_vocab_n_tokens(vocab)), n_top_(std::min(options.n_top_logprobs, n_vocab_)) {
    // The entries point into the texts, which must stay where they are.
    texts_.reserve(static_cast<std::size_t>(n_top_) + 1);
}

gpt4all_token_logprob LogprobReport::entry(llama_token token, const float *logits, double log_sum) {
    texts_.push_back(token_text(vocab_, token, true));
    const double logprob = std::max(static_cast<double>(logits[token]) - log_sum, LEAST_LOGPROB);
    return {token, static_cast<float>(std::min(logprob, 0.0)), texts_.back().data(),
            static_cast<int64_t>(texts_.back().size())};
}

bool LogprobReport::report(const float *logits, llama_token token) {
    if (callback_ == nullptr) return true;
    texts_.clear();
    const double log_sum = log_sum_exp(logits, n_vocab_);
    const gpt4all_token_logprob chosen = entry(token, logits, log_sum);
    std::vector<gpt4all_token_logprob> top;
    std::vector<llama_token_data> likeliest;
    find_top_logits(logits, n_vocab_, static_cast<std::size_t>(n_top_), likeliest);
    for (const llama_token_data &likely : likeliest) top.push_back(entry(likely.id, logits, log_sum));
    return callback_(&chosen, top.data(), static_cast<int32_t>(top.size()), payload_) == 0;
}

} // namespace gpt4all

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
      n_vocab_(llama_vocab_n_tokens(vocab)), n_top_(std::min(options.n_top_logprobs, n_vocab_)) {}

TokenLogprobs LogprobReport::measure(const float *logits, llama_token token) const {
    if (callback_ == nullptr) return {};
    std::vector<llama_token_data> likeliest;
    find_top_logits(logits, n_vocab_, static_cast<std::size_t>(n_top_), likeliest);
    likeliest.insert(likeliest.begin(), {token, logits[token], 0.0f});
    const double log_sum = log_sum_exp(logits, n_vocab_);
    TokenLogprobs measured;
    for (const llama_token_data &likely : likeliest) {
        const double logprob = std::max(static_cast<double>(logits[likely.id]) - log_sum, LEAST_LOGPROB);
        measured.push_back(
            {likely.id, static_cast<float>(std::min(logprob, 0.0)), token_text(vocab_, likely.id, true)});
    }
    return measured;
}

bool LogprobReport::tell(const TokenLogprobs &measured) const {
    if (measured.empty()) return true;
    std::vector<gpt4all_token_logprob> entries;
    for (const TokenLogprob &one : measured) {
        entries.push_back({one.token, one.logprob, one.text.data(), static_cast<int64_t>(one.text.size())});
    }
    return callback_(entries.data(), entries.data() + 1, static_cast<int32_t>(entries.size() - 1), payload_) == 0;
}

} // namespace gpt4all

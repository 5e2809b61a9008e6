#include "generate/sampler.h"

#include "base/processor.h"
#include "generate/top_logits.h"
#include "grammar/constraint.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace gpt4all {
namespace {

constexpr float NEVER = -std::numeric_limits<float>::infinity();
// No model computes a logit near it. Beyond, extreme options would make
// infinities out of logits, and then no number at all.
constexpr float LARGEST_LOGIT = 1e6f;
// Colder is as good as greedy, and logits divided by it stay finite.
constexpr float LOWEST_TEMPERATURE = 1e-30f;

// A token that is never to come stays so.
float bounded(float logit, float penalized) {
    return logit == NEVER ? NEVER : std::clamp(penalized, -LARGEST_LOGIT, LARGEST_LOGIT);
}

} // namespace

Sampler::Sampler(const gpt4all_generate_options &options, const llama_vocab *vocab, int32_t n_ctx,
                 GrammarConstraint *constraint)
    : greedy_(options.temperature < LOWEST_TEMPERATURE || options.top_k == 1 || options.top_p <= 0),
      n_vocab_(llama_vocab_n_tokens(vocab)),
      top_k_(options.top_k > 0 && options.top_k < n_vocab_ ? static_cast<std::size_t>(options.top_k) : 0),
      repeat_penalty_(options.repeat_penalty),
      window_size_(static_cast<std::size_t>(options.repeat_last_n < 0 ? n_ctx : options.repeat_last_n)),
      presence_penalty_(options.presence_penalty), frequency_penalty_(options.frequency_penalty),
      biases_(options.logit_bias, options.logit_bias + options.n_logit_bias), constraint_(constraint) {
    if (repeat_penalty_ == 1.0f) window_size_ = 0;
    if (window_size_ > 0) in_window_.assign(static_cast<std::size_t>(n_vocab_), 0);

    int32_t n_suppressed = 0;
    const llama_token *suppressed = llama_vocab_get_suppress_tokens(vocab, &n_suppressed);
    for (int32_t i = 0; i < n_suppressed; i++) {
        if (suppressed[i] >= 0 && suppressed[i] < n_vocab_) suppressed_.push_back(suppressed[i]);
    }

    if (greedy_) return;
    llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    chain_.reset(llama_sampler_chain_init(params));
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_top_p(std::min(options.top_p, 1.0f), 1));
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_min_p(options.min_p, 1));
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_temp(options.temperature));
    llama_sampler_chain_add(chain_.get(), llama_sampler_init_dist(options.seed));
}

void Sampler::accept(llama_token token) {
    if (presence_penalty_ != 0 || frequency_penalty_ != 0) in_answer_[token]++;
    accept_prompt(token);
}

void Sampler::accept_prompt(llama_token token) {
    if (window_size_ == 0 || token < 0 || token >= n_vocab_) return;
    if (window_.size() < window_size_) {
        window_.push_back(token);
    } else {
        in_window_[static_cast<std::size_t>(window_[window_next_])]--;
        window_[window_next_] = token;
        window_next_ = (window_next_ + 1) % window_size_;
    }
    in_window_[static_cast<std::size_t>(token)]++;
}

void Sampler::change(float *logits, llama_token token, float value) {
    saved_.push_back({token, logits[token]});
    logits[token] = value;
}

// In the order of llama.cpp: biases, then penalties.
void Sampler::adjust(float *logits) {
    saved_.clear();
    for (llama_token token : suppressed_) change(logits, token, NEVER);
    for (const gpt4all_token_bias &bias : biases_) change(logits, bias.token, logits[bias.token] + bias.bias);
    penalize_repetition(logits);
    penalize_answer(logits);
}

void Sampler::penalize_repetition(float *logits) {
    // A count above the mark says this occurrence was dealt with already.
    constexpr uint32_t DONE = 1u << 31;
    for (llama_token token : window_) {
        uint32_t &count = in_window_[static_cast<std::size_t>(token)];
        if ((count & DONE) != 0) continue;
        count |= DONE;
        const float logit = logits[token];
        change(logits, token, bounded(logit, logit <= 0 ? logit * repeat_penalty_ : logit / repeat_penalty_));
    }
    for (llama_token token : window_) in_window_[static_cast<std::size_t>(token)] &= ~DONE;
}

void Sampler::penalize_answer(float *logits) {
    for (const auto &[token, count] : in_answer_) {
        const float penalty = presence_penalty_ + frequency_penalty_ * static_cast<float>(count);
        change(logits, token, bounded(logits[token], logits[token] - penalty));
    }
}

llama_token Sampler::sample(float *logits) {
    clear_upper_halves();
    adjust(logits);
    try {
        const llama_token token = draw(logits);
        restore(logits);
        return token;
    } catch (...) {
        restore(logits);
        throw;
    }
}

void Sampler::restore(float *logits) {
    // Backwards: a token that was changed twice gets its first value.
    for (auto saved = saved_.rbegin(); saved != saved_.rend(); ++saved) logits[saved->token] = saved->logit;
}

llama_token Sampler::draw(const float *logits) {
    if (drawn_ < 0) drawn_ = pick(logits);
    if (drawn_ < 0) {
        if (!biases_.empty()) throw Error(GPT4ALL_ERROR_DECODE, "logit_bias leaves no token to choose");
        throw Error(GPT4ALL_ERROR_DECODE, "the model computed no usable number for any token; its file may be damaged");
    }
    if (constraint_ == nullptr || (!refused_ && constraint_->allows(drawn_))) {
        return std::exchange(drawn_, LLAMA_TOKEN_NULL);
    }
    refused_ = true;
    masked_.assign(logits, logits + n_vocab_);
    const llama_token token = constraint_->mask(masked_.data()) ? pick(masked_.data()) : -1;
    drawn_ = LLAMA_TOKEN_NULL;
    refused_ = false;
    if (token < 0) throw Error(GPT4ALL_ERROR_DECODE, "no token of the model goes on as the grammar wants");
    return token;
}

// All but banned tokens, which the engine's sort of many candidates is not made for.
void Sampler::collect_all(const float *logits) {
    candidates_.resize(static_cast<std::size_t>(n_vocab_));
    llama_token_data *candidate = candidates_.data();
    for (llama_token token = 0; token < n_vocab_; token++) {
        *candidate = {token, std::clamp(logits[token], -LARGEST_LOGIT, LARGEST_LOGIT), 0.0f};
        candidate += logits[token] > NEVER ? 1 : 0;
    }
    candidates_.resize(static_cast<std::size_t>(candidate - candidates_.data()));
}

llama_token Sampler::pick(const float *logits) {
    if (greedy_) return find_largest_logit(logits, n_vocab_);
    if (top_k_ > 0) {
        find_top_logits(logits, n_vocab_, top_k_, candidates_);
        if (candidates_.empty() || !std::isfinite(candidates_.front().logit)) return -1;
    } else {
        if (!std::isfinite(largest_logit(logits, n_vocab_))) return -1;
        collect_all(logits);
    }
    llama_token_data_array array = {candidates_.data(), candidates_.size(), -1, top_k_ > 0};
    llama_sampler_apply(chain_.get(), &array);
    if (array.selected < 0 || array.selected >= static_cast<int64_t>(array.size)) return -1;
    return array.data[array.selected].id;
}

} // namespace gpt4all

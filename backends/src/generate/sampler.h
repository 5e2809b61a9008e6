// Turns a position's logits into the next token.
#pragma once

#include "base/guard.h"

#include "llama.h"

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace gpt4all {

struct FreeSampler {
    void operator()(llama_sampler *sampler) const { llama_sampler_free(sampler); }
};

class GrammarConstraint;

// The chain is that of gpt4all 2.8: penalties, top-k, top-p, min-p,
// temperature, draw, with biases before all of it. Biases, penalties and top-k,
// which see the whole vocabulary, are done here in one pass over the raw
// logits; llama.cpp's samplers do the rest on the few candidates left. A
// grammar is asked about the token drawn, and only where it says no is the
// whole vocabulary gone over and another drawn.
class Sampler {
public:
    // `constraint` may be null.
    Sampler(const gpt4all_generate_options &options, const llama_vocab *vocab, int32_t n_ctx,
            GrammarConstraint *constraint);

    // Adds a token of the prompt to the repetition window.
    void accept_prompt(llama_token token);
    // Adds one of the answer, which all penalties see.
    void accept(llama_token token);

    // Reads n_vocab logits, which hold the same values again afterwards, also when it throws. After GrammarPaused it is
    // to be called with the same, and goes on with the token that it had drawn.
    llama_token sample(float *logits);

private:
    struct Saved {
        llama_token token;
        float logit;
    };

    void adjust(float *logits);
    void penalize_repetition(float *logits);
    void penalize_answer(float *logits);
    void restore(float *logits);
    void change(float *logits, llama_token token, float value);
    llama_token draw(const float *logits);
    llama_token pick(const float *logits);
    void collect_all(const float *logits);

    bool greedy_;
    int32_t n_vocab_;
    std::size_t top_k_; // 0 is all
    float repeat_penalty_;
    std::size_t window_size_;
    std::vector<llama_token> window_; // ring
    std::size_t window_next_ = 0;
    std::vector<uint32_t> in_window_; // uses of each token in the window
    float presence_penalty_;
    float frequency_penalty_;
    std::unordered_map<llama_token, uint32_t> in_answer_; // uses of each token; empty without penalties
    std::vector<llama_token> suppressed_;
    std::vector<gpt4all_token_bias> biases_;
    GrammarConstraint *constraint_;
    llama_token drawn_ = LLAMA_TOKEN_NULL; // about which the grammar is asked
    bool refused_ = false;                 // which was its answer
    std::vector<float> masked_;            // logits of what it allows
    std::vector<Saved> saved_;
    std::vector<llama_token_data> candidates_;
    std::unique_ptr<llama_sampler, FreeSampler> chain_;
};

} // namespace gpt4all

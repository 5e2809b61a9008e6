#include "generate/generation.h"

#include "base/cancel.h"
#include "base/log.h"
#include "generate/logprobs.h"
#include "generate/options.h"
#include "generate/sampler.h"
#include "generate/text_stream.h"
#include "tokens/vocabulary.h"

#include "ggml.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace gpt4all {
namespace {

class Generation {
public:
    Generation(Model &model, Sequence &sequence, std::vector<llama_token> prompt,
               const gpt4all_generate_options &options, gpt4all_token_callback callback, void *payload,
               gpt4all_generate_result &result)
        : model_(model), sequence_(sequence), context_(model.context.get()), prompt_(std::move(prompt)),
          options_(options), callback_(callback), payload_(payload), result_(result),
          constraint_(make_constraint(options, model)), sampler_(options, model.vocab, model.n_ctx, constraint_.get()),
          logprobs_(options, model.vocab), stream_(read_stops(options)) {}

    void run() {
        result_.prompt_tokens = static_cast<int32_t>(prompt_.size());
        for (llama_token token : prompt_) sampler_.accept(token);
        const int64_t started = ggml_time_us();
        const bool complete = compute_prompt();
        // A GPU may only have taken note of the last batch.
        llama_synchronize(context_);
        const int64_t prompt_done = ggml_time_us();
        result_.prompt_us = prompt_done - started;
        try {
            result_.finish_reason = complete ? generate() : static_cast<int32_t>(GPT4ALL_FINISH_CANCELLED);
        } catch (const Cancelled &) {
            result_.finish_reason = GPT4ALL_FINISH_CANCELLED;
        }
        if (!deliver_rest()) result_.finish_reason = GPT4ALL_FINISH_CANCELLED;
        result_.completion_us = ggml_time_us() - prompt_done;
    }

private:
    bool compute_prompt();
    bool encode_prompt();
    bool decode(const llama_token *tokens, std::size_t n, std::size_t most);
    int32_t generate();
    bool make_room();
    bool deliver(llama_token token);
    bool deliver_rest();

    // Tokens of the prompt that are computed at once.
    std::size_t chunk() const { return static_cast<std::size_t>(std::min(options_.n_batch, model_.n_batch)); }

    bool cancelled() const { return is_set(options_.cancel); }

    // Whether the grammar lets nothing follow.
    bool complete() const { return constraint_ != nullptr && constraint_->finished(); }

    Model &model_;
    Sequence &sequence_;
    llama_context *context_;
    std::vector<llama_token> prompt_;
    const gpt4all_generate_options &options_;
    gpt4all_token_callback callback_;
    void *payload_;
    gpt4all_generate_result &result_;
    std::unique_ptr<GrammarConstraint> constraint_; // null without a grammar
    Sampler sampler_;
    LogprobReport logprobs_;
    TextStream stream_;
    bool refused_ = false;        // a callback wanted no more
    std::vector<int8_t> outputs_; // which tokens of a batch want logits
};

bool Generation::compute_prompt() {
    if (model_.has_trait(GPT4ALL_TRAIT_ENCODER)) return encode_prompt();
    const std::size_t reused = sequence_.begin(prompt_, options_.reuse_prefix != 0, options_.keep_context != 0);
    result_.cached_tokens = static_cast<int32_t>(reused);
    return decode(prompt_.data() + reused, prompt_.size() - reused, chunk());
}

// Encoder-decoder models read the prompt at once and answer from a start token.
bool Generation::encode_prompt() {
    sequence_.forget();
    if (prompt_.size() > static_cast<std::size_t>(model_.n_batch)) {
        throw Error(GPT4ALL_ERROR_CONTEXT_OVERFLOW, "the prompt has " + std::to_string(prompt_.size()) +
                                                        " tokens, but this model's encoder takes at most " +
                                                        std::to_string(model_.n_batch) + " at once");
    }
    if (cancelled()) return false;
    ErrorCapture errors;
    model_.pool_used = true;
    const int32_t status =
        llama_encode(context_, llama_batch_get_one(prompt_.data(), static_cast<int32_t>(prompt_.size())));
    if (status != 0) {
        sequence_.forget();
        if (cancelled()) return false;
        throw Error(GPT4ALL_ERROR_DECODE, errors.text("the engine could not encode the prompt"));
    }
    llama_token start = llama_model_decoder_start_token(model_.weights.get());
    if (start < 0) start = llama_vocab_bos(model_.vocab);
    if (start < 0) throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "the model names no token to start its answer with");
    return decode(&start, 1, 1);
}

// Computes tokens after what the memory holds. False when cancelled.
bool Generation::decode(const llama_token *tokens, std::size_t n, std::size_t most) {
    ErrorCapture errors;
    for (std::size_t done = 0; done < n;) {
        if (cancelled()) return false;
        const std::size_t size = std::min(most, n - done);
        // The engine does not write to the tokens of a batch.
        llama_batch batch = llama_batch_get_one(const_cast<llama_token *>(tokens + done), static_cast<int32_t>(size));
        outputs_.assign(size, 0);
        outputs_.back() = done + size == n ? 1 : 0;
        batch.logits = outputs_.data();
        sequence_.has_logits = false;
        model_.pool_used = true;
        const int32_t status = llama_decode(context_, batch);
        if (status != 0) {
            sequence_.after_interruption();
            if (status == 2 || cancelled()) return false;
            throw Error(GPT4ALL_ERROR_DECODE, errors.text(status == 1 ? "the engine found no room in its memory"
                                                                      : "the engine could not compute"));
        }
        model_.retired_pools.clear();
        sequence_.add(tokens + done, size);
        done += size;
    }
    sequence_.has_logits = true;
    return true;
}

// Drops the oldest half of a full context after what must stay. False when
// nothing can be dropped, or when cancelled while decoding the rest again.
bool Generation::make_room() {
    const auto keep = std::min(static_cast<std::size_t>(options_.n_keep), prompt_.size());
    if (keep + 1 >= sequence_.size()) return false;
    result_.context_shifts++;
    const std::vector<llama_token> rest = sequence_.drop_oldest(keep);
    return rest.empty() || decode(rest.data(), rest.size(), chunk());
}

// Hands over what may be shown. False when the callback wants no more.
bool Generation::deliver(llama_token token) {
    const std::string text = stream_.take();
    refused_ = callback_ != nullptr && callback_(token, text.data(), static_cast<int64_t>(text.size()), payload_) != 0;
    return !refused_;
}

// Hands over what is held back of tokens that were counted.
bool Generation::deliver_rest() {
    if (refused_) return false;
    stream_.finish();
    return !stream_.has_ready() || deliver(LLAMA_TOKEN_NULL);
}

int32_t Generation::generate() {
    // A grammar may allow the empty text and no other.
    if (complete()) return GPT4ALL_FINISH_STOP;
    for (int32_t n = 0; n < options_.max_tokens; n++) {
        if (cancelled()) return GPT4ALL_FINISH_CANCELLED;
        float *logits = llama_get_logits_ith(context_, -1);
        if (logits == nullptr) throw Error(GPT4ALL_ERROR_DECODE, "the engine gave no logits");
        const llama_token token = sampler_.sample(logits);
        sampler_.accept(token);
        if (llama_vocab_is_eog(model_.vocab, token)) {
            stream_.finish();
            return deliver(token) ? GPT4ALL_FINISH_STOP : GPT4ALL_FINISH_CANCELLED;
        }
        refused_ = !logprobs_.report(logits, token);
        if (refused_) return GPT4ALL_FINISH_CANCELLED;
        if (constraint_ != nullptr) constraint_->accept(token);
        result_.completion_tokens = n + 1;
        const bool ends = complete();
        const bool stopped = stream_.feed(token_text(model_.vocab, token, options_.render_special != 0));
        const bool last = ends || n + 1 == options_.max_tokens;
        if (last && !stopped) stream_.finish();
        if (!deliver(token)) return GPT4ALL_FINISH_CANCELLED;
        if (stopped || ends) return GPT4ALL_FINISH_STOP;
        if (last) break;
        if (sequence_.size() >= static_cast<std::size_t>(model_.n_ctx) && !make_room()) {
            return cancelled() ? GPT4ALL_FINISH_CANCELLED : GPT4ALL_FINISH_LENGTH;
        }
        if (!decode(&token, 1, 1)) return GPT4ALL_FINISH_CANCELLED;
    }
    return GPT4ALL_FINISH_LENGTH;
}

} // namespace

void generate(Model &model, Sequence &sequence, std::vector<llama_token> prompt,
              const gpt4all_generate_options &options, gpt4all_token_callback callback, void *payload,
              gpt4all_generate_result &result) {
    Generation(model, sequence, std::move(prompt), options, callback, payload, result).run();
}

} // namespace gpt4all

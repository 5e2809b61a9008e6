#include "base/log.h"
#include "generate/logprobs.h"
#include "generate/options.h"
#include "generate/sampler.h"
#include "generate/text_stream.h"
#include "grammar/constraint.h"
#include "model/model.h"

#include "ggml.h"

#include <algorithm>
#include <memory>
#include <optional>

namespace gpt4all {
namespace {

// Room that a prompt must leave for the answer, as in gpt4all 2.8.
constexpr int32_t MIN_ANSWER_ROOM = 4;

constexpr int32_t SEQUENCE = 0;

// Tokens below which computing again is as quick as copying a context.
constexpr std::size_t MIN_WORTH_COPYING = 16;

void check_prompt(const gpt4all_model &model, const int32_t *tokens, int32_t n_tokens) {
    if (n_tokens < 1) invalid_argument("tokens must hold at least one token");
    require(tokens, "tokens");
    if (!model.has_trait(GPT4ALL_TRAIT_DECODER) || model.has_trait(GPT4ALL_TRAIT_DIFFUSION) ||
        model.has_trait(GPT4ALL_TRAIT_EMBEDDING)) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL,
                    "a model of architecture '" + model.facts.architecture + "' does not generate text");
    }
    for (int32_t i = 0; i < n_tokens; i++) check_token(model.vocab, tokens[i]);
    if (n_tokens > model.n_ctx - MIN_ANSWER_ROOM) {
        throw Error(GPT4ALL_ERROR_CONTEXT_OVERFLOW, "the prompt has " + std::to_string(n_tokens) +
                                                        " tokens, but the context takes at most " +
                                                        std::to_string(model.n_ctx - MIN_ANSWER_ROOM));
    }
}

// One call of gpt4all_generate.
class Generation {
public:
    Generation(gpt4all_model &model, std::vector<llama_token> prompt, const gpt4all_generate_options &options,
               gpt4all_token_callback callback, void *payload, gpt4all_generate_result &result)
        : model_(model), context_(model.context.get()), memory_(llama_get_memory(context_)), prompt_(std::move(prompt)),
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
    std::size_t reusable_prefix();
    const HeldTokens &held();
    std::optional<SavedContext> save_context(std::size_t beaten);
    std::size_t switch_context();
    bool decode(const llama_token *tokens, std::size_t n, std::size_t chunk);
    void after_interruption();
    int32_t generate();
    bool make_room();
    bool deliver(llama_token token);
    bool deliver_rest();

    bool cancelled() const { return is_set(options_.cancel); }

    // Whether the grammar lets nothing follow.
    bool complete() const { return constraint_ != nullptr && constraint_->finished(); }

    gpt4all_model &model_;
    llama_context *context_;
    llama_memory_t memory_;
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

// How many leading prompt tokens need not be computed again. The last one
// always is, for its logits.
std::size_t Generation::reusable_prefix() {
    if (options_.reuse_prefix == 0) return 0;
    return gpt4all::reusable_prefix(held(), prompt_.data(), prompt_.size() - 1, model_.displaced.kind());
}

const HeldTokens &Generation::held() {
    model_.held.first = llama_memory_seq_pos_min(memory_, SEQUENCE);
    return model_.held;
}

// A copy of the present context, where it is to be kept and `beaten` tokens of it or more are of use.
std::optional<SavedContext> Generation::save_context(std::size_t beaten) {
    if (!model_.keep_context || model_.held.exact < beaten) return {};
    const std::size_t size = llama_state_seq_get_size(context_, SEQUENCE);
    if (size > model_.displaced.budget()) return {};
    SavedContext saved = {held(), std::vector<uint8_t>(size)};
    if (llama_state_seq_get_data(context_, saved.state.data(), size, SEQUENCE) != size) return {};
    return saved;
}

// Makes the memory hold as much of the prompt as is known: the present
// context's beginning or that of one displaced earlier.
std::size_t Generation::switch_context() {
    std::size_t reused = reusable_prefix();
    const SavedContext *found = options_.reuse_prefix == 0 ? nullptr
                                                           : model_.displaced.find(prompt_.data(), prompt_.size() - 1,
                                                                                   reused + MIN_WORTH_COPYING);
    std::optional<SavedContext> left = save_context(reused + MIN_WORTH_COPYING);
    if (found != nullptr) {
        model_.forget();
        if (llama_state_seq_set_data(context_, found->state.data(), found->state.size(), SEQUENCE) == 0) {
            model_.forget();
        } else {
            model_.held = found->held;
        }
        reused = reusable_prefix();
    }
    if (left) model_.displaced.store(std::move(*left));
    return reused;
}

bool Generation::compute_prompt() {
    if (model_.has_trait(GPT4ALL_TRAIT_ENCODER)) return encode_prompt();
    std::size_t reused = switch_context();
    if (reused == 0 || !llama_memory_seq_rm(memory_, SEQUENCE, static_cast<llama_pos>(reused), -1)) {
        model_.forget();
        reused = 0;
    }
    model_.keep_context = options_.keep_context != 0;
    model_.held.tokens.resize(reused);
    model_.held.exact = std::min(model_.held.exact, reused);
    result_.cached_tokens = static_cast<int32_t>(reused);
    const auto chunk = static_cast<std::size_t>(std::min(options_.n_batch, model_.n_batch));
    return decode(prompt_.data() + reused, prompt_.size() - reused, chunk);
}

// Encoder-decoder models read the prompt at once and answer from a start token.
bool Generation::encode_prompt() {
    model_.forget();
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
        model_.forget();
        if (cancelled()) return false;
        throw Error(GPT4ALL_ERROR_DECODE, errors.text("the engine could not encode the prompt"));
    }
    llama_token start = llama_model_decoder_start_token(model_.weights.get());
    if (start < 0) start = llama_vocab_bos(model_.vocab);
    if (start < 0) throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "the model names no token to start its answer with");
    return decode(&start, 1, 1);
}

// Computes tokens after what the memory holds. False when cancelled.
bool Generation::decode(const llama_token *tokens, std::size_t n, std::size_t chunk) {
    ErrorCapture errors;
    for (std::size_t done = 0; done < n;) {
        if (cancelled()) return false;
        const std::size_t size = std::min(chunk, n - done);
        // The engine does not write to the tokens of a batch.
        llama_batch batch = llama_batch_get_one(const_cast<llama_token *>(tokens + done), static_cast<int32_t>(size));
        outputs_.assign(size, 0);
        outputs_.back() = done + size == n ? 1 : 0;
        batch.logits = outputs_.data();
        model_.has_logits = false;
        model_.pool_used = true;
        const int32_t status = llama_decode(context_, batch);
        if (status != 0) {
            after_interruption();
            if (status == 2 || cancelled()) return false;
            throw Error(GPT4ALL_ERROR_DECODE, errors.text(status == 1 ? "the engine found no room in its memory"
                                                                      : "the engine could not compute"));
        }
        model_.retired_pools.clear();
        const bool was_exact = model_.held.exact == model_.held.tokens.size();
        model_.held.tokens.insert(model_.held.tokens.end(), tokens + done, tokens + done + size);
        if (was_exact) model_.held.exact = model_.held.tokens.size();
        done += size;
    }
    model_.has_logits = true;
    return true;
}

// Brings our record in line with what the engine kept of a failed batch.
void Generation::after_interruption() {
    const auto stored = static_cast<std::size_t>(llama_memory_seq_pos_max(memory_, SEQUENCE) + 1);
    if (model_.has_trait(GPT4ALL_TRAIT_RECURRENT) || stored < model_.held.tokens.size() ||
        !llama_memory_seq_rm(memory_, SEQUENCE, static_cast<llama_pos>(model_.held.tokens.size()), -1)) {
        model_.forget();
    }
}

// Drops the oldest half of a full context after what must stay. False when
// nothing can be dropped, or when cancelled while decoding the rest again.
bool Generation::make_room() {
    const std::size_t size = model_.held.tokens.size();
    const auto keep = std::min(static_cast<std::size_t>(options_.n_keep), prompt_.size());
    if (keep + 1 >= size) return false;
    const std::size_t drop = std::max<std::size_t>(1, (size - keep) / 2);
    std::vector<llama_token> rest(model_.held.tokens);
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(keep),
               rest.begin() + static_cast<std::ptrdiff_t>(keep + drop));
    result_.context_shifts++;
    const auto first = static_cast<llama_pos>(keep);
    const auto last = static_cast<llama_pos>(keep + drop);
    if (model_.can_shift() && llama_memory_seq_rm(memory_, SEQUENCE, first, last)) {
        llama_memory_seq_add(memory_, SEQUENCE, last, -1, first - last);
        model_.held.exact = std::min(model_.held.exact, keep);
        model_.held.tokens = std::move(rest);
        return true;
    }
    model_.forget();
    return decode(rest.data(), rest.size(), static_cast<std::size_t>(std::min(options_.n_batch, model_.n_batch)));
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
        if (model_.held.tokens.size() >= static_cast<std::size_t>(model_.n_ctx) && !make_room()) {
            return cancelled() ? GPT4ALL_FINISH_CANCELLED : GPT4ALL_FINISH_LENGTH;
        }
        if (!decode(&token, 1, 1)) return GPT4ALL_FINISH_CANCELLED;
    }
    return GPT4ALL_FINISH_LENGTH;
}

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_generate_options_init(gpt4all_generate_options *options, uint64_t size) {
    return gpt4all::guarded(
        [&] { gpt4all::write_defaults(options, size, gpt4all::default_generate_options(), "options"); });
}

gpt4all_status gpt4all_generate_result_init(gpt4all_generate_result *result, uint64_t size) {
    return gpt4all::guarded([&] { gpt4all::write_defaults(result, size, gpt4all_generate_result{}, "result"); });
}

gpt4all_status gpt4all_generate(gpt4all_model *model, const int32_t *tokens, int32_t n_tokens,
                                const gpt4all_generate_options *options, gpt4all_token_callback callback, void *payload,
                                gpt4all_generate_result *result) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(result, "result");
        gpt4all_generate_result filled = {};
        write_result(result, filled, "result");
        const gpt4all_generate_options checked = read_options(options, default_generate_options(), "options");
        check_generate_options(checked, *model);
        check_prompt(*model, tokens, n_tokens);

        Claim claim(*model);
        model->cancel = checked.cancel;
        try {
            Generation(*model, std::vector<llama_token>(tokens, tokens + n_tokens), checked, callback, payload, filled)
                .run();
        } catch (const Cancelled &) {
            // Even the first expansion of a grammar can take a while.
            filled.prompt_tokens = n_tokens;
            filled.finish_reason = GPT4ALL_FINISH_CANCELLED;
        } catch (const EngineAbort &) {
            model->broken = true;
            write_result(result, filled, "result");
            throw;
        } catch (...) {
            write_result(result, filled, "result");
            throw;
        }
        write_result(result, filled, "result");
    });
}

gpt4all_status gpt4all_last_logits(gpt4all_model *model, float *logits, int64_t capacity) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        require(logits, "logits");
        const int32_t n_vocab = llama_vocab_n_tokens(model->vocab);
        if (capacity < n_vocab) {
            throw Error(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "the model has " + std::to_string(n_vocab) +
                                                            " logits, but only " + std::to_string(capacity) + " fit");
        }
        Claim claim(*model);
        const float *values = model->has_logits ? llama_get_logits_ith(model->context.get(), -1) : nullptr;
        if (values == nullptr) throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, "nothing has been computed yet");
        std::copy_n(values, n_vocab, logits);
    });
}

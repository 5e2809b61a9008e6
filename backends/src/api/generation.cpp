#include "generate/generation.h"
#include "api/buffers.h"
#include "api/handle.h"
#include "base/cancel.h"
#include "base/structs.h"
#include "generate/options.h"
#include "tokens/vocabulary.h"

#include <algorithm>
#include <string>
#include <vector>

namespace gpt4all {
namespace {

// Room that a prompt must leave for the answer, as in gpt4all 2.8.
constexpr int32_t MIN_ANSWER_ROOM = 4;

void check_prompt(const Model &model, const int32_t *tokens, int32_t n_tokens) {
    if (n_tokens < 1) invalid_argument("tokens must hold at least one token");
    require(tokens, "tokens");
    if (!model.has_trait(GPT4ALL_TRAIT_DECODER) || model.has_trait(GPT4ALL_TRAIT_DIFFUSION) ||
        model.has_trait(GPT4ALL_TRAIT_EMBEDDING)) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL,
                    "a model of architecture '" + model.facts.architecture + "' does not generate text");
    }
    check_tokens(model.vocab, tokens, n_tokens);
    if (n_tokens > model.n_ctx - MIN_ANSWER_ROOM) {
        throw Error(GPT4ALL_ERROR_CONTEXT_OVERFLOW, "the prompt has " + std::to_string(n_tokens) +
                                                        " tokens, but the context takes at most " +
                                                        std::to_string(model.n_ctx - MIN_ANSWER_ROOM));
    }
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
        check_generate_options(checked, model->model.vocab);
        check_prompt(model->model, tokens, n_tokens);

        Claim claim(*model);
        model->model.cancel = checked.cancel;
        try {
            generate(model->model, model->sequence, std::vector<llama_token>(tokens, tokens + n_tokens), checked,
                     callback, payload, filled);
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
        const int32_t n_vocab = llama_vocab_n_tokens(model->model.vocab);
        require_room(n_vocab, capacity, "the model has", "logits");
        Claim claim(*model);
        const float *values =
            model->sequence.has_logits ? llama_get_logits_ith(model->model.context.get(), -1) : nullptr;
        if (values == nullptr) throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, "nothing has been computed yet");
        std::copy_n(values, n_vocab, logits);
    });
}

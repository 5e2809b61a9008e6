#include "api/buffers.h"
#include "api/handle.h"
#include "base/structs.h"
#include "embed/embedder.h"
#include "tokens/vocabulary.h"

#include <string>

namespace gpt4all {
namespace {

gpt4all_embed_options default_embed_options() {
    gpt4all_embed_options options = {};
    options.normalize = 1;
    return options;
}

void check_can_embed(const Model &model) {
    if (model.embedder != nullptr) return;
    const std::string what = model.facts.pooling == LLAMA_POOLING_TYPE_RANK
                                 ? "scores pairs of texts (a reranker) and makes no embeddings"
                                 : "was not made for embeddings";
    throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "a model of architecture '" + model.facts.architecture + "' " + what);
}

// Checks every text and finds where each begins.
EmbedTexts read_texts(const Model &model, const int32_t *tokens, const int32_t *lengths, int64_t n_texts) {
    const int32_t limit = model.embedder->settings().max_tokens;
    EmbedTexts texts = {tokens, lengths, {}};
    texts.starts.reserve(static_cast<std::size_t>(n_texts));
    int64_t total = 0;
    for (int64_t text = 0; text < n_texts; text++) {
        const std::string name = "lengths[" + std::to_string(text) + "]";
        if (lengths[text] < 1) invalid_argument(name + " must be at least 1");
        if (lengths[text] > limit) {
            throw Error(GPT4ALL_ERROR_CONTEXT_OVERFLOW, name + " is " + std::to_string(lengths[text]) +
                                                            ", but the model takes at most " + std::to_string(limit) +
                                                            " tokens");
        }
        texts.starts.push_back(total);
        check_tokens(model.vocab, tokens + total, lengths[text]);
        total += lengths[text];
    }
    return texts;
}

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_embed_options_init(gpt4all_embed_options *options, uint64_t size) {
    return gpt4all::guarded(
        [&] { gpt4all::write_defaults(options, size, gpt4all::default_embed_options(), "options"); });
}

gpt4all_status gpt4all_embed(gpt4all_model *model, const int32_t *tokens, const int32_t *lengths, int64_t n_texts,
                             const gpt4all_embed_options *options, float *vectors, int64_t capacity,
                             gpt4all_embed_callback callback, void *payload) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(model, "model");
        const gpt4all_embed_options checked = read_options(options, default_embed_options(), "options");
        if (n_texts < 0) invalid_argument("n_texts must not be negative");
        check_can_embed(model->model);
        if (n_texts == 0) return;
        require(tokens, "tokens");
        require(lengths, "lengths");
        require(vectors, "vectors");
        const int32_t width = llama_model_n_embd_out(model->model.weights.get());
        require_room(n_texts, capacity / width, "the call makes", "vectors of " + std::to_string(width) + " numbers");
        EmbedWork work = {};
        work.texts = read_texts(model->model, tokens, lengths, n_texts);
        int64_t n_tokens = 0;
        for (int64_t text = 0; text < n_texts; text++) n_tokens += lengths[text];

        // Before the plan, which goes by how many threads there are.
        Claim claim(*model);
        work.batches =
            plan_batches(lengths, static_cast<std::size_t>(n_texts), model->model.embedder->batch_budget(n_tokens));
        work.normalize = checked.normalize != 0;
        work.vectors = vectors;
        work.cancel = checked.cancel;
        work.callback = callback;
        work.payload = payload;
        try {
            model->model.embedder->run(work);
        } catch (const EngineAbort &) {
            model->broken = true;
            throw;
        }
    });
}

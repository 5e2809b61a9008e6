#include "model/model.h"

#include "base/log.h"
#include "chat/template.h"
#include "embed/embedder.h"
#include "grammar/grammar_vocabulary.h"
#include "model/load_options.h"
#include "model/memory.h"
#include "tokens/marks.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

namespace gpt4all {
namespace {

struct LoadProgress {
    gpt4all_progress_callback callback;
    void *payload;
    bool cancelled;
};

bool on_progress(float fraction, void *payload) {
    auto *progress = static_cast<LoadProgress *>(payload);
    if (progress->callback(fraction, progress->payload) != 0) progress->cancelled = true;
    return !progress->cancelled;
}

bool abort_requested(void *payload) {
    const auto *model = static_cast<const Model *>(payload);
    return model->stop_asked && model->stop_asked();
}

} // namespace

Model::Model(const char *path, const gpt4all_load_options &options)
    : templates(std::make_unique<TemplateCache>()), marks(std::make_unique<TokenMarks>()) {
    load_weights(path, options);
    make_context(path, options);
    facts = read_facts(weights.get(), context.get(), parse_kv_type(options.kv_type));
    if (has_trait(GPT4ALL_TRAIT_EMBEDDING)) make_embedder(options);
    set_threads(options.n_threads, options.n_threads_batch);
}

Model::~Model() {
    if (context != nullptr) llama_detach_threadpool(context.get());
}

void Model::load_weights(const char *path, const gpt4all_load_options &options) {
    const Placement placement(options);
    llama_model_params params = placement.model_params(options);
    LoadProgress progress = {options.progress, options.progress_payload, false};
    if (options.progress != nullptr) {
        params.progress_callback = on_progress;
        params.progress_callback_user_data = &progress;
    }
    // The engine drops whatever is a mark in any script, and Python, which does
    // this exactly, cannot hide any from it.
    llama_model_kv_override overrides[2] = {};
    overrides[0].tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
    std::strncpy(overrides[0].key, STRIP_ACCENTS_KEY, sizeof overrides[0].key - 1);
    overrides[0].val_bool = false;
    params.kv_overrides = overrides;
    ErrorCapture errors;
    weights.reset(llama_model_load_from_file(path, params));
    if (progress.cancelled) throw Error(GPT4ALL_ERROR_CANCELLED, "loading was cancelled");
    if (weights == nullptr) {
        const std::string reason = errors.text("the engine gave no reason");
        // First, as a lack of memory can end in an assertion too.
        if (!placement.devices().empty()) check_memory(path, options);
        errors.check_model();
        throw Error(GPT4ALL_ERROR_MODEL_LOAD, reason);
    }
    vocab = llama_model_get_vocab(weights.get());
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(vocab) < 1) {
        throw Error(GPT4ALL_ERROR_UNSUPPORTED_MODEL, "the model has no vocabulary, so it cannot read or write text");
    }
}

void Model::make_context(const char *path, const gpt4all_load_options &options) {
    n_ctx = context_size(options, weights.get());
    // What embeds gets contexts of its own later, and here one that only tells of its memory.
    const bool generates = !pools(weights.get());
    n_sequences = sequence_count(options, weights.get());
    // The engine counts the cells of all sequences together.
    if (n_ctx > std::numeric_limits<int32_t>::max() / n_sequences) {
        invalid_argument("n_sequences times n_ctx must be at most 2147483647");
    }
    llama_context_params params = context_params(options, generates ? n_ctx : std::min(n_ctx, 64), n_sequences);
    if (!generates) params.n_batch = params.n_ubatch = params.n_ctx;
    params.abort_callback = abort_requested;
    params.abort_callback_data = this;

    ErrorCapture errors;
    context.reset(llama_init_from_model(weights.get(), params));
    if (context == nullptr) {
        const std::string reason = "no context of " + std::to_string(n_ctx) +
                                   " tokens could be made: " + errors.text("the engine gave no reason");
        if (output_gpu(weights.get()) != nullptr) {
            weights.reset();
            check_memory(path, options);
        }
        errors.check_model();
        throw Error(GPT4ALL_ERROR_MODEL_LOAD, reason);
    }
    n_batch = static_cast<int32_t>(llama_n_ubatch(context.get()));
}

// Takes the place of the context, which told what kind of model this is.
void Model::make_embedder(const gpt4all_load_options &options) {
    context.reset();
    if (facts.pooling == LLAMA_POOLING_TYPE_RANK) return;
    EmbedSettings settings = embed_settings(options, weights.get());
    settings.pooling = facts.pooling;
    embedder = std::make_unique<Embedder>(weights.get(), settings, options.n_threads_batch);
    facts.device_bytes = embedder->bytes_on_gpus();
}

void Model::set_threads(int32_t n_threads, int32_t n_threads_batch) {
    if (embedder != nullptr) embedder->set_threads(n_threads_batch);
    if (context == nullptr) return;
    std::unique_ptr<ggml_threadpool, FreeThreadPool> fresh = make_thread_pool(std::max(n_threads, n_threads_batch));
    // Before the context has the new one, which an exception frees.
    if (pool_used) retired_pools.push_back(std::move(pool));
    llama_detach_threadpool(context.get());
    llama_attach_threadpool(context.get(), fresh.get(), nullptr);
    llama_set_n_threads(context.get(), n_threads, n_threads_batch);
    pool = std::move(fresh);
    pool_used = false;
    token_threads_ = ThreadCount(n_threads);
    prompt_threads_ = ThreadCount(n_threads_batch);
}

int32_t Model::decode(const llama_batch &batch) { return compute(llama_decode, batch); }

int32_t Model::encode(const llama_batch &batch) { return compute(llama_encode, batch); }

int32_t Model::compute(int32_t (*function)(llama_context *, llama_batch), const llama_batch &batch) {
    ThreadCount &threads = batch.n_tokens > n_sequences ? prompt_threads_ : token_threads_;
    pool_used = true;
    return compute_with(pool.get(), threads, [&](int32_t n_threads) {
        llama_set_n_threads(context.get(), n_threads, n_threads);
        return function(context.get(), batch);
    });
}

GrammarVocabulary &Model::words_for_grammars() {
    const std::lock_guard<std::mutex> lock(grammar_vocabulary_mutex_);
    if (grammar_vocabulary_ == nullptr) grammar_vocabulary_ = std::make_unique<GrammarVocabulary>(vocab);
    return *grammar_vocabulary_;
}

void Model::abandon() {
    (void)context.release();
    if (embedder != nullptr) embedder->abandon();
}

} // namespace gpt4all

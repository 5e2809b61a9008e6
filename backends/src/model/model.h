// A loaded model: weights, the context that generates or embeds, and the threads that compute.
#pragma once

#include "engine/owned.h"
#include "engine/thread_count.h"
#include "engine/thread_pool.h"
#include "model/facts.h"

#include "gpt4all_backend.h"

#include "llama.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace gpt4all {

class Embedder;
class GrammarVocabulary;
class TemplateCache;
class TokenMarks;

struct Model {
    // Loads it, as the checked options want.
    Model(const char *path, const gpt4all_load_options &options);
    ~Model();
    Model(const Model &) = delete;
    Model &operator=(const Model &) = delete;

    bool can_shift() const { return has_trait(GPT4ALL_TRAIT_CAN_SHIFT); }
    bool has_trait(int32_t trait) const { return (facts.traits & trait) != 0; }
    void set_threads(int32_t n_threads, int32_t n_threads_batch);

    // As llama_decode and llama_encode, with as many threads as do well.
    int32_t decode(const llama_batch &batch);
    int32_t encode(const llama_batch &batch);

    // Gives up the contexts, used no more, where what the engine was doing with them is unknown.
    void abandon();

    // Destroyed in reverse: the context uses the pool and the weights.
    Weights weights;
    std::unique_ptr<ggml_threadpool, FreeThreadPool> pool;
    // The engine touches the pool of its last computation once more when it
    // begins the next one, so pools that were used stay until then.
    bool pool_used = false;
    std::vector<std::unique_ptr<ggml_threadpool, FreeThreadPool>> retired_pools;
    // For generation; models made for embeddings have an embedder instead.
    Context context;
    std::unique_ptr<Embedder> embedder;
    const llama_vocab *vocab = nullptr;
    ModelFacts facts;

    // These two lock by themselves: rendering and tokenising may run beside any call.
    const std::unique_ptr<TemplateCache> templates;
    const std::unique_ptr<TokenMarks> marks;
    int32_t n_sequences = 1; // generations that the context has room for
    int32_t n_ctx = 0;       // of each; enforced here: the engine rounds its own up
    int32_t n_batch = 0;     // the context's micro-batch

    // Asked by the engine between graph nodes; set while it computes.
    std::function<bool()> stop_asked;
    // The next batch moves what the context holds, which cannot be stopped half-way.
    bool shift_pending = false;

    // Made for the first grammar, and of use to every later one; on any thread.
    GrammarVocabulary &words_for_grammars();

private:
    std::mutex grammar_vocabulary_mutex_;
    std::unique_ptr<GrammarVocabulary> grammar_vocabulary_;

    // Of single tokens and of prompts, which are worth more threads.
    ThreadCount token_threads_{1};
    ThreadCount prompt_threads_{1};

    int32_t compute(int32_t (*function)(llama_context *, llama_batch), const llama_batch &batch);
    void load_weights(const char *path, const gpt4all_load_options &options);
    void make_context(const char *path, const gpt4all_load_options &options);
    void make_embedder(const gpt4all_load_options &options);
};

} // namespace gpt4all

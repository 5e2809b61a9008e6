// A loaded model: weights, context, thread pool, and what the context's memory holds.
#pragma once

#include "base/cancel.h"
#include "base/guard.h"
#include "engine/thread_pool.h"
#include "generate/prefix_cache.h"

#include "llama.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gpt4all {

struct FreeWeights {
    void operator()(llama_model *weights) const { llama_model_free(weights); }
};
struct FreeContext {
    void operator()(llama_context *context) const { llama_free(context); }
};

// Facts read once at load, as C strings that live as long as the model.
struct ModelFacts {
    int32_t traits = 0;
    std::string architecture;
    std::string description;
    std::string quantization;
    std::string name;
    std::string basename;
    std::string chat_template;
    int32_t n_layers_offloaded = 0;
    int32_t device = -1;
    int64_t device_bytes = 0;
    enum llama_pooling_type pooling = LLAMA_POOLING_TYPE_NONE;
    int32_t wordpiece = 0; // GPT4ALL_WORDPIECE*
};

class Embedder;
struct EmbedSettings;
class GrammarVocabulary;
struct ChatState;
std::shared_ptr<ChatState> make_chat_state();

} // namespace gpt4all

struct gpt4all_model {
    // Destroyed in reverse: the context uses the pool and the weights.
    std::unique_ptr<llama_model, gpt4all::FreeWeights> weights;
    std::unique_ptr<ggml_threadpool, gpt4all::FreeThreadPool> pool;
    // The engine touches the pool of its last computation once more when it
    // begins the next one, so pools that were used stay until then.
    bool pool_used = false;
    std::vector<std::unique_ptr<ggml_threadpool, gpt4all::FreeThreadPool>> retired_pools;
    // For generation; models made for embeddings have an embedder instead.
    std::unique_ptr<llama_context, gpt4all::FreeContext> context;
    std::unique_ptr<gpt4all::Embedder> embedder;
    const llama_vocab *vocab = nullptr;
    gpt4all::ModelFacts facts;
    // Locks by itself: rendering and tokenising may run beside any call.
    const std::shared_ptr<gpt4all::ChatState> chat = gpt4all::make_chat_state();

    int32_t n_ctx = 0;   // enforced here: the engine rounds its own up
    int32_t n_batch = 0; // the context's micro-batch

    gpt4all::HeldTokens held;
    bool has_logits = false;
    // Made for the first grammar, and of use to every later one.
    std::unique_ptr<gpt4all::GrammarVocabulary> vocabulary;
    // Whether `held` is a conversation that may be continued later.
    bool keep_context = false;
    gpt4all::PrefixCache displaced;

    // Polled by the engine between graph nodes; set while a call runs.
    const int32_t *cancel = nullptr;
    std::atomic_flag busy = ATOMIC_FLAG_INIT;
    // Set when the engine gave up in the middle of a computation.
    bool broken = false;

    ~gpt4all_model();

    bool can_shift() const { return (facts.traits & GPT4ALL_TRAIT_CAN_SHIFT) != 0; }
    bool has_trait(int32_t trait) const { return (facts.traits & trait) != 0; }
    void set_threads(int32_t n_threads, int32_t n_threads_batch);
    void forget();
};

namespace gpt4all {

// The caller's load options, or an error that names what is wrong with them.
gpt4all_load_options checked_load_options(const gpt4all_load_options *options);

// The context that the options ask for: the trained length for 0.
int32_t context_size(const gpt4all_load_options &options, const llama_model *weights);
llama_context_params context_params(const gpt4all_load_options &options, int32_t n_ctx);

// Whether the file says how it pools: then it is made for embeddings.
bool pools(const llama_model *weights);
EmbedSettings embed_settings(const gpt4all_load_options &options, const llama_model *weights);

// Claims the model for one call, or throws GPT4ALL_ERROR_BUSY.
class Claim {
public:
    explicit Claim(gpt4all_model &model);
    ~Claim();
    Claim(const Claim &) = delete;
    Claim &operator=(const Claim &) = delete;

private:
    gpt4all_model &model_;
};

} // namespace gpt4all

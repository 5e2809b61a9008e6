// A context that computes embeddings, or what takes its place.
#pragma once

#include "embed/bert/encoder.h"
#include "embed/plan.h"
#include "engine/owned.h"
#include "engine/token_batch.h"

#include "llama.h"

#include <cstdint>
#include <vector>

namespace gpt4all {

// A context takes some milliseconds to make, so it is made a little larger than asked.
constexpr int32_t MIN_CAPACITY = 128;

// Tokens that keep a GPU busy.
constexpr int32_t GPU_BATCH = 2048;

// Batches up to this many tokens are computed side by side, one thread each;
// larger ones by all threads together, which takes the memory of one context.
constexpr int32_t MAX_SIDE_BY_SIDE = 512;

// How a model's contexts are made.
struct EmbedSettings {
    enum llama_pooling_type pooling;
    int32_t max_tokens; // of one text
    bool offloaded;     // computed by a GPU, at least in part
    llama_flash_attn_type flash_attention;
    ggml_type kv_type;
};

// A context for batches of that many tokens.
llama_context_params embed_context_params(const EmbedSettings &settings, int32_t n_tokens);

// Tokens of the batches that most texts come in; a context grows when it meets a longer one.
int32_t usual_batch(const EmbedSettings &settings);

// One context, fitted to the largest batch it has met; or what takes its place
// where there is an encoder.
class EmbedLane {
public:
    EmbedLane(llama_model *weights, const EmbedSettings &settings, const BertEncoder *encoder,
              ggml_abort_callback stops, void *stops_data)
        : weights_(weights), settings_(settings), encoder_(encoder), stops_(stops), stops_data_(stops_data) {}

    void fit(int32_t n_tokens);

    // Writes the rows of the batch. False when it was stopped.
    bool compute(const EmbedBatch &batch, const EmbedWork &work);

    // Nanoseconds that an encoder's threads computed for the last batch, summed up.
    int64_t computing() const { return computing_; }

    // Threads of `pool`, or the calling one alone where it is NULL.
    void use_threads(ggml_threadpool *pool, int32_t n_threads);

    void abandon() { (void)context_.release(); }

    const llama_context *context() const { return context_.get(); }

private:
    bool encode(const EmbedBatch &batch, const EmbedWork &work);
    void fill(const EmbedBatch &batch, const EmbedTexts &texts);
    void write_rows(const EmbedBatch &batch, const EmbedWork &work) const;

    llama_model *weights_;
    const EmbedSettings &settings_;
    const BertEncoder *encoder_;
    BertEncoder::Scratch scratch_;
    std::size_t n_threads_ = 1;
    int64_t computing_ = 0;
    ggml_abort_callback stops_;
    void *stops_data_;
    Context context_;
    int32_t capacity_ = 0;
    TokenBatch tokens_;
};

} // namespace gpt4all

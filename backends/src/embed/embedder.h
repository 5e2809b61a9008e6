// Contexts that compute embeddings side by side.
#pragma once

#include "embed/bert/encoder.h"
#include "model/model.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace gpt4all {

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

// Texts as tokens, one after the other; the caller owns tokens and lengths.
struct EmbedTexts {
    const int32_t *tokens;
    const int32_t *lengths;
    std::vector<int64_t> starts;
};

// Texts that are computed at once.
struct EmbedBatch {
    std::vector<std::size_t> texts;
    int32_t n_tokens = 0;
};

struct EmbedWork {
    EmbedTexts texts;
    std::vector<EmbedBatch> batches; // largest first
    bool normalize;
    float *vectors; // one row for each text
    const int32_t *cancel;
    gpt4all_embed_callback callback;
    void *payload;
};

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
    ggml_abort_callback stops_;
    void *stops_data_;
    std::unique_ptr<llama_context, FreeContext> context_;
    int32_t capacity_ = 0;
    // The batch as the engine takes it.
    std::vector<llama_token> tokens_;
    std::vector<llama_pos> positions_;
    std::vector<int32_t> n_ids_;
    std::vector<llama_seq_id> ids_;
    std::vector<llama_seq_id *> id_pointers_;
    std::vector<int8_t> outputs_;
};

// All contexts of a model; used by one caller at a time.
class Embedder {
public:
    Embedder(llama_model *weights, const EmbedSettings &settings, int32_t n_threads);

    const EmbedSettings &settings() const { return settings_; }
    // Tokens that are best computed at once.
    int32_t batch_budget(int64_t n_tokens) const;
    void set_threads(int32_t n_threads);

    // What its first context takes on GPUs, the weights included.
    int64_t bytes_on_gpus() const;

    // Throws GPT4ALL_ERROR_CANCELLED when it was stopped.
    void run(const EmbedWork &work);

    // Gives up memory that threads of a failed computation may still use.
    void abandon();

private:
    class Queue;

    static bool stopped(void *embedder);
    EmbedLane &lane(std::size_t index);
    void run_together(Queue &queue, std::size_t n_batches);
    void run_side_by_side(Queue &queue, std::size_t n_lanes);

    llama_model *weights_;
    EmbedSettings settings_;
    std::unique_ptr<BertEncoder> encoder_;
    int32_t n_threads_ = 0;
    // Polled by the engine between graph nodes.
    const int32_t *cancel_ = nullptr;
    std::atomic<bool> stop_{false};
    // Before the contexts that use it, so that it outlives them.
    std::unique_ptr<ggml_threadpool, FreeThreadPool> pool_;
    std::vector<std::unique_ptr<EmbedLane>> lanes_;
};

// Batches up to this many tokens are computed side by side, one thread each;
// larger ones by all threads together, which takes the memory of one context.
constexpr int32_t MAX_SIDE_BY_SIDE = 512;

// The engine's limit is 256; its pooling takes a matrix of texts times tokens.
constexpr std::size_t MAX_BATCH_TEXTS = 64;

// The texts in batches of up to `budget` tokens, longest first; a longer text
// is one by itself.
std::vector<EmbedBatch> plan_batches(const int32_t *lengths, std::size_t n_texts, int32_t budget);

} // namespace gpt4all

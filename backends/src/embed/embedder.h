// Computes the embeddings of a call, by several contexts side by side where that is faster.
#pragma once

#include "embed/lane.h"
#include "engine/thread_pool.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace gpt4all {

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
    bool compute_together(const EmbedBatch &batch, const EmbedWork &work);
    void run_side_by_side(Queue &queue, std::size_t n_lanes);

    llama_model *weights_;
    EmbedSettings settings_;
    std::unique_ptr<BertEncoder> encoder_;
    int32_t n_threads_ = 0;
    ThreadCount threads_together_{1};
    // Polled by the engine between graph nodes.
    const int32_t *cancel_ = nullptr;
    std::atomic<bool> stop_{false};
    // Before the contexts that use it, so that it outlives them.
    std::unique_ptr<ggml_threadpool, FreeThreadPool> pool_;
    std::vector<std::unique_ptr<EmbedLane>> lanes_;
};

} // namespace gpt4all

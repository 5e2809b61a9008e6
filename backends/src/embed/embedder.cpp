#include "embed/embedder.h"

#include "base/log.h"
#include "base/thread_start.h"
#include "engine/memory_need.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

namespace gpt4all {
namespace {

// A context takes some milliseconds to make, so it is made a little larger than asked.
constexpr int32_t MIN_CAPACITY = 128;

// Tokens that keep a GPU busy.
constexpr int32_t GPU_BATCH = 2048;

// Rows at which an encoder's matrices are fast and still stay in the cache, and
// the least that is worth another thread.
constexpr int32_t ENCODER_BATCH = 192;
constexpr int32_t SMALLEST_BATCH = 48;

int32_t round_capacity(int32_t n_tokens, int32_t max_tokens) {
    int32_t capacity = MIN_CAPACITY;
    while (capacity < n_tokens) capacity *= 2;
    // What one text may have is rounded no further: the buffers of long ones are large.
    return n_tokens <= max_tokens && capacity > max_tokens ? std::max(max_tokens, n_tokens) : capacity;
}

// Whether threads that each take whole batches end about as soon as if they
// shared every one: not where one batch is most of the work.
bool is_balanced(const std::vector<EmbedBatch> &batches, std::size_t n_lanes) {
    int64_t n_tokens = 0;
    for (const EmbedBatch &batch : batches) n_tokens += batch.n_tokens;
    const int64_t share = n_tokens / static_cast<int64_t>(n_lanes);
    return 4 * batches.front().n_tokens <= 5 * share;
}

void copy_row(const float *from, float *to, int32_t n, bool normalize) {
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) sum += static_cast<double>(from[i]) * static_cast<double>(from[i]);
    if (!std::isfinite(sum)) {
        throw Error(GPT4ALL_ERROR_DECODE, "the model made a vector that holds something other than numbers");
    }
    const double scale = normalize && sum > 0.0 ? 1.0 / std::sqrt(sum) : 1.0;
    for (int32_t i = 0; i < n; i++) to[i] = static_cast<float>(static_cast<double>(from[i]) * scale);
}

} // namespace

llama_context_params embed_context_params(const EmbedSettings &settings, int32_t n_tokens) {
    const int32_t capacity = round_capacity(n_tokens, settings.max_tokens);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(capacity);
    // A non-causal model needs the whole batch at once; for a causal one, its
    // mean is only right where no text is split.
    params.n_batch = params.n_ubatch = static_cast<uint32_t>(capacity);
    params.kv_unified = true;
    // The engine keeps room for a vector of each, and fails where that is more than a batch has tokens.
    params.n_seq_max = static_cast<uint32_t>(std::min<int64_t>(MAX_BATCH_TEXTS, capacity));
    params.n_threads = params.n_threads_batch = 1;
    params.pooling_type = settings.pooling;
    params.embeddings = true;
    params.type_k = params.type_v = settings.kv_type;
    params.flash_attn_type = settings.flash_attention;
    params.no_perf = true;
    return params;
}

int32_t usual_batch(const EmbedSettings &settings) {
    return settings.offloaded ? GPU_BATCH : std::min(MAX_SIDE_BY_SIDE, settings.max_tokens);
}

void EmbedLane::fit(int32_t n_tokens) {
    if (encoder_ != nullptr || n_tokens <= capacity_) return;
    llama_context_params params = embed_context_params(settings_, n_tokens);
    const auto capacity = static_cast<int32_t>(params.n_ctx);
    params.abort_callback = stops_;
    params.abort_callback_data = stops_data_;
    // The old one first: both at once would be the peak of memory.
    context_.reset();
    capacity_ = 0;
    ErrorCapture errors;
    context_.reset(llama_init_from_model(weights_, params));
    errors.check_model();
    if (context_ == nullptr) {
        throw Error(GPT4ALL_ERROR_OUT_OF_MEMORY,
                    "no context for " + std::to_string(capacity) +
                        " tokens could be made: " + errors.text("the engine gave no reason"));
    }
    capacity_ = capacity;
}

void EmbedLane::use_threads(ggml_threadpool *pool, int32_t n_threads) {
    n_threads_ = static_cast<std::size_t>(n_threads);
    if (encoder_ != nullptr) return;
    llama_detach_threadpool(context_.get());
    if (pool != nullptr) llama_attach_threadpool(context_.get(), pool, nullptr);
    llama_set_n_threads(context_.get(), n_threads, n_threads);
}

void EmbedLane::fill(const EmbedBatch &batch, const EmbedTexts &texts) {
    const auto n_tokens = static_cast<std::size_t>(batch.n_tokens);
    tokens_.clear();
    positions_.clear();
    id_pointers_.clear();
    n_ids_.assign(n_tokens, 1);
    outputs_.assign(n_tokens, 1);
    ids_.resize(batch.texts.size());
    for (std::size_t place = 0; place < batch.texts.size(); place++) {
        const std::size_t text = batch.texts[place];
        ids_[place] = static_cast<llama_seq_id>(place);
        const int32_t *first = texts.tokens + texts.starts[text];
        tokens_.insert(tokens_.end(), first, first + texts.lengths[text]);
        for (llama_pos position = 0; position < texts.lengths[text]; position++) {
            positions_.push_back(position);
            id_pointers_.push_back(&ids_[place]);
        }
    }
}

bool EmbedLane::encode(const EmbedBatch &batch, const EmbedWork &work) {
    const auto width = static_cast<std::size_t>(encoder_->width());
    std::vector<int32_t> lengths;
    std::vector<float *> rows;
    tokens_.clear();
    for (const std::size_t text : batch.texts) {
        const int32_t *first = work.texts.tokens + work.texts.starts[text];
        tokens_.insert(tokens_.end(), first, first + work.texts.lengths[text]);
        lengths.push_back(work.texts.lengths[text]);
        rows.push_back(work.vectors + text * width);
    }
    const auto stopped = [this] { return stops_(stops_data_); };
    BertTeam team(n_threads_);
    if (!encoder_->embed(tokens_.data(), lengths.data(), lengths.size(), rows.data(), scratch_, team, stopped)) {
        return false;
    }
    for (float *row : rows) copy_row(row, row, static_cast<int32_t>(width), work.normalize);
    return true;
}

bool EmbedLane::compute(const EmbedBatch &batch, const EmbedWork &work) {
    if (encoder_ != nullptr) return encode(batch, work);
    fill(batch, work.texts);
    llama_batch input = {};
    input.n_tokens = batch.n_tokens;
    input.token = tokens_.data();
    input.pos = positions_.data();
    input.n_seq_id = n_ids_.data();
    input.seq_id = id_pointers_.data();
    input.logits = outputs_.data();
    llama_memory_t memory = llama_get_memory(context_.get());
    if (memory != nullptr) llama_memory_clear(memory, false);
    ErrorCapture errors;
    const int32_t status =
        memory == nullptr ? llama_encode(context_.get(), input) : llama_decode(context_.get(), input);
    if (status != 0) {
        if (stops_(stops_data_)) return false;
        throw Error(GPT4ALL_ERROR_DECODE, errors.text("the engine could not compute"));
    }
    write_rows(batch, work);
    return true;
}

void EmbedLane::write_rows(const EmbedBatch &batch, const EmbedWork &work) const {
    const int32_t width = llama_model_n_embd_out(weights_);
    for (std::size_t place = 0; place < batch.texts.size(); place++) {
        const float *row = llama_get_embeddings_seq(context_.get(), static_cast<llama_seq_id>(place));
        if (row == nullptr) throw Error(GPT4ALL_ERROR_DECODE, "the engine gave no vector for a text");
        copy_row(row, work.vectors + batch.texts[place] * static_cast<std::size_t>(width), width, work.normalize);
    }
}

// Hands out the batches in order, and asks before each whether to go on.
class Embedder::Queue {
public:
    Queue(const EmbedWork &given, Embedder &embedder) : work(given), embedder_(embedder) {
        if (given.callback == nullptr) return;
        for (const EmbedBatch &batch : given.batches) sizes_.push_back(batch.n_tokens);
    }

    // NULL when there is nothing left before `end`, or all is to stop.
    const EmbedBatch *take(std::size_t end) {
        std::lock_guard lock(mutex_);
        if (next_ >= end || stopped(&embedder_)) return nullptr;
        if (work.callback != nullptr &&
            work.callback(sizes_.data() + next_, static_cast<int64_t>(sizes_.size() - next_), work.payload) != 0) {
            embedder_.stop_ = true;
            return nullptr;
        }
        return &work.batches[next_++];
    }

    // To be called inside a catch.
    void fail(bool engine_aborted) {
        std::lock_guard lock(mutex_);
        // Of several, the one that makes the model unusable counts.
        if (failure_ == nullptr || engine_aborted) failure_ = std::current_exception();
        embedder_.stop_ = true;
    }

    void count_done() {
        std::lock_guard lock(mutex_);
        done_++;
    }

    // What counts is the work: who stopped it, and when, may not show any more.
    void finish() const {
        if (failure_ != nullptr) std::rethrow_exception(failure_);
        if (done_ != work.batches.size()) throw Error(GPT4ALL_ERROR_CANCELLED, "the embedding was cancelled");
    }

    const EmbedWork &work;

private:
    Embedder &embedder_;
    std::vector<int32_t> sizes_;
    std::mutex mutex_;
    std::size_t next_ = 0;
    std::size_t done_ = 0; // batches whose rows are written
    std::exception_ptr failure_;
};

Embedder::Embedder(llama_model *weights, const EmbedSettings &settings, int32_t n_threads)
    : weights_(weights), settings_(settings) {
    if (!settings_.offloaded) encoder_ = BertEncoder::make(weights, settings_.pooling);
    set_threads(n_threads);
    // What cannot be made should be known when the model is loaded.
    lane(0).fit(std::min(MIN_CAPACITY, settings_.max_tokens));
}

// On the CPU the engine computes one text at a time: those of a batch attend to
// one another in masked positions, which costs more than larger matrices gain,
// and shifts the sums of a text's own positions by what rounding to 16 bits
// makes of it, up to 2e-4 in a vector (measured on all-MiniLM-L6-v2).
int32_t Embedder::batch_budget(int64_t n_tokens) const {
    if (settings_.offloaded) return GPU_BATCH;
    if (encoder_ == nullptr) return 0;
    const int64_t share = (n_tokens + n_threads_ - 1) / n_threads_;
    return static_cast<int32_t>(std::clamp<int64_t>(share, SMALLEST_BATCH, ENCODER_BATCH));
}

void Embedder::set_threads(int32_t n_threads) {
    std::unique_ptr<ggml_threadpool, FreeThreadPool> fresh;
    if (n_threads > 1 && encoder_ == nullptr) fresh = make_thread_pool(n_threads);
    lanes_.clear();
    pool_ = std::move(fresh);
    n_threads_ = n_threads;
}

int64_t Embedder::bytes_on_gpus() const {
    const llama_context *context = lanes_.front()->context();
    return context == nullptr ? 0 : gpt4all::bytes_on_gpus(context);
}

void Embedder::abandon() {
    for (auto &each : lanes_) each->abandon();
}

bool Embedder::stopped(void *embedder) {
    auto *self = static_cast<Embedder *>(embedder);
    return self->stop_.load(std::memory_order_relaxed) || is_set(self->cancel_);
}

EmbedLane &Embedder::lane(std::size_t index) {
    while (lanes_.size() <= index) {
        lanes_.push_back(std::make_unique<EmbedLane>(weights_, settings_, encoder_.get(), stopped, this));
    }
    return *lanes_[index];
}

void Embedder::run(const EmbedWork &work) {
    cancel_ = work.cancel;
    stop_ = false;
    Queue queue(work, *this);
    std::size_t n_large = 0;
    const auto n_batches = work.batches.size();
    while (encoder_ == nullptr && n_large < n_batches && work.batches[n_large].n_tokens > MAX_SIDE_BY_SIDE) n_large++;
    const auto n_lanes = static_cast<std::size_t>(settings_.offloaded ? 1 : n_threads_);
    const bool side_by_side =
        n_lanes > 1 && (encoder_ != nullptr ? is_balanced(work.batches, n_lanes) : n_batches - n_large >= n_lanes);
    run_together(queue, side_by_side ? n_large : n_batches);
    if (side_by_side) run_side_by_side(queue, std::min(n_lanes, n_batches - n_large));
    cancel_ = nullptr;
    queue.finish();
}

void Embedder::run_together(Queue &queue, std::size_t n_batches) {
    if (n_batches == 0) return;
    try {
        EmbedLane &only = lane(0);
        only.fit(queue.work.batches.front().n_tokens);
        only.use_threads(pool_.get(), n_threads_);
        while (const EmbedBatch *batch = queue.take(n_batches)) {
            if (!only.compute(*batch, queue.work)) return;
            queue.count_done();
        }
    } catch (const EngineAbort &) {
        queue.fail(true);
    } catch (...) {
        queue.fail(false);
    }
}

void Embedder::run_side_by_side(Queue &queue, std::size_t n_lanes) {
    lane(n_lanes - 1);
    const auto work_off = [&](std::size_t index) noexcept {
        try {
            AbortScope scope;
            EmbedLane &mine = *lanes_[index];
            bool ready = false;
            while (const EmbedBatch *batch = queue.take(queue.work.batches.size())) {
                mine.fit(batch->n_tokens);
                if (!ready) mine.use_threads(nullptr, 1);
                ready = true;
                if (!mine.compute(*batch, queue.work)) return;
                queue.count_done();
            }
        } catch (const EngineAbort &) {
            queue.fail(true);
        } catch (...) {
            queue.fail(false);
        }
    };
    std::vector<std::thread> threads = start_threads(n_lanes - 1, work_off);
    work_off(0);
    for (std::thread &thread : threads) thread.join();
}

} // namespace gpt4all

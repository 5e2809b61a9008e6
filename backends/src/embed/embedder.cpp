#include "embed/embedder.h"

#include "base/cancel.h"
#include "base/thread_start.h"
#include "engine/memory_need.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>

namespace gpt4all {
namespace {

// Rows at which an encoder's matrices are fast and still stay in the cache, and
// the least that is worth another thread.
constexpr int32_t ENCODER_BATCH = 192;
constexpr int32_t SMALLEST_BATCH = 48;

// Whether threads that each take whole batches end about as soon as if they
// shared every one: not where one batch is most of the work.
bool is_balanced(const std::vector<EmbedBatch> &batches, std::size_t n_lanes) {
    int64_t n_tokens = 0;
    for (const EmbedBatch &batch : batches) n_tokens += batch.n_tokens;
    const int64_t share = n_tokens / static_cast<int64_t>(n_lanes);
    return 4 * batches.front().n_tokens <= 5 * share;
}

} // namespace

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
    threads_together_ = ThreadCount(n_threads);
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
        while (const EmbedBatch *batch = queue.take(n_batches)) {
            if (!compute_together(*batch, queue.work)) return;
            queue.count_done();
        }
    } catch (const EngineAbort &) {
        queue.fail(true);
    } catch (...) {
        queue.fail(false);
    }
}

// With as many threads as do well.
bool Embedder::compute_together(const EmbedBatch &batch, const EmbedWork &work) {
    const auto compute = [&](int32_t n_threads) {
        lane(0).use_threads(pool_.get(), n_threads);
        return lane(0).compute(batch, work);
    };
    if (pool_ != nullptr) return compute_with(pool_.get(), threads_together_, compute);
    const int64_t start = nanoseconds_now();
    const bool done = compute(threads_together_.next(start));
    const int64_t end = nanoseconds_now();
    if (encoder_ != nullptr) threads_together_.computed(end, end - start, lane(0).computing());
    return done;
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

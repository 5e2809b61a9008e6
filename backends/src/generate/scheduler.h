// Computes a model's requests together, on a thread of its own.
//
// A step: requests that were stopped end; waiting ones take idle sequences; then one batch has the next token of each
// answer, and as much of the prompts as there is room for, shared out evenly. So a stopped request ends within a step,
// a short prompt does not wait for a long one, and a reader who is far behind holds nobody up: its request sits out.
#pragma once

#include "engine/token_batch.h"
#include "generate/request.h"
#include "generate/sequence.h"
#include "model/model.h"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace gpt4all {

class Scheduler {
public:
    // `cache_bytes` of main memory for contexts that others displace.
    Scheduler(Model &model, std::size_t cache_bytes);
    // Ends what is left and the thread.
    ~Scheduler();
    Scheduler(const Scheduler &) = delete;
    Scheduler &operator=(const Scheduler &) = delete;

    // Puts a request in the line; with the first one the thread starts.
    void submit(std::shared_ptr<Request> request);

    // Something may go on: a request was stopped, or there is room again.
    void wake();

    // Calls `work`, on this thread, while nothing is computed.
    template <class Work> void between_steps(const Work &work) {
        std::unique_lock<std::mutex> lock(mutex_);
        n_visitors_++;
        step_done_.wait(lock, [this] { return !stepping_; });
        n_visitors_--;
        try {
            work();
        } catch (...) {
            ready_.notify_all();
            throw;
        }
        ready_.notify_all();
    }

    // Of the last position computed, while nothing is; NULL where there are none.
    const float *last_logits() const;

    // The engine gave up in the middle of a computation: its state is unknown.
    bool broken() const { return broken_; }

private:
    using Requests = std::vector<std::shared_ptr<Request>>;

    void run();
    bool has_work() const;
    void step();
    void end_stopped();
    void admit();
    bool can_admit() const;
    Sequence *choose_sequence(const Request &request);
    int n_running_beside(const Sequence &sequence) const;
    void encode_prompt(Request &request);
    void fill_batch();
    void take_all(const std::vector<Request *> &ready, std::size_t room);
    void take_turns(const std::vector<Request *> &ready, std::size_t room);
    void compute_batch();
    void advance();
    void choose_on();
    template <class Work> void try_for(Request &request, const Work &work);
    std::size_t grammar_share() const;
    void repair();
    void fail_all(gpt4all_status status, const std::string &message);
    // Of all requests in the batch, so that nothing of it is wanted.
    bool batch_stopped() const;

    struct Share {
        Request *request;
        std::size_t n;
        int32_t row; // with logits, -1 for none
    };

    void take(Request &request, std::size_t n);
    void add_to_batch(Share &share);

    Model &model_;
    PrefixCache displaced_;
    std::deque<Sequence> sequences_; // of which idle ones are
    std::vector<Sequence *> idle_;   // the least recently used first
    Requests running_;
    std::size_t turn_ = 0; // whose prompt comes first

    // The batch.
    std::vector<Share> shares_;
    TokenBatch batch_;
    int32_t last_row_ = -1;
    std::atomic<bool> broken_{false};

    std::mutex mutex_; // what follows is shared
    std::condition_variable ready_;
    std::condition_variable step_done_;
    std::deque<std::shared_ptr<Request>> waiting_;
    int n_visitors_ = 0;
    bool stepping_ = false;
    bool closing_ = false;
    std::vector<std::thread> threads_; // one, or none yet
};

} // namespace gpt4all

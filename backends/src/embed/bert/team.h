// Threads that compute the steps of one forward pass together.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace gpt4all {

// A step of a sentence takes microseconds, so its threads spin for a moment before they sleep until the next one, and
// exist only as long as the pass: nothing spins between calls.
class BertTeam {
public:
    // Of `n_threads` with the calling one, or as many as the system gives.
    explicit BertTeam(std::size_t n_threads);
    ~BertTeam();
    BertTeam(const BertTeam &) = delete;
    BertTeam &operator=(const BertTeam &) = delete;

    std::size_t size() const { return threads_.size() + 1; }

    // Ends the other threads. Returns the nanoseconds that all have had processors and did not wait for each other.
    int64_t finish();

    // Calls task(index, member) once for every index below `n`, in any order and
    // on any member, and returns when all calls have. A task must not throw.
    template <class Task> void run(int64_t n, const Task &task) {
        if (threads_.empty()) {
            for (int64_t index = 0; index < n; index++) task(index, std::size_t{0});
            return;
        }
        share({[](const void *call, int64_t index, std::size_t member) noexcept {
                   (*static_cast<const Task *>(call))(index, member);
               },
               &task},
              n);
    }

private:
    struct Job {
        void (*call)(const void *task, int64_t index, std::size_t member) noexcept;
        const void *task;
    };

    void share(Job job, int64_t n);
    // Does one task, if any is left.
    bool work(std::size_t member);
    void serve(std::size_t member);
    // Until `done()`, which another member makes true and then calls wake().
    template <class Done> void wait(const Done &done);
    void wake();

    std::vector<std::thread> threads_;
    Job job_ = {};
    // The number of the step, and below it how many of its tasks are still to be
    // taken. Whoever takes one knows that the step, and so job_, stands until it
    // is done; a thread that comes late finds nothing and is not waited for.
    std::atomic<uint64_t> tickets_{0};
    std::atomic<int64_t> undone_{0};
    std::atomic<bool> over_{false};
    std::atomic<int32_t> n_sleeping_{0};
    std::atomic<int32_t> n_woken_{0}; // what they sleep on
    int32_t n_spins_;
    std::atomic<int64_t> computing_{0};
};

} // namespace gpt4all

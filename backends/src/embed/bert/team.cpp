#include "embed/bert/team.h"

#include <exception>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace gpt4all {
namespace {

constexpr uint64_t STEP = uint64_t{1} << 32;

// First for what comes within microseconds, then so that whoever is waited for gets the processor.
class Patience {
public:
    void wait() {
        if (polls_++ < 256) {
#if defined(__x86_64__) || defined(__i386__)
            _mm_pause();
#endif
        } else {
            std::this_thread::yield();
        }
    }

private:
    int32_t polls_ = 0;
};

} // namespace

BertTeam::BertTeam(std::size_t n_threads) {
    try {
        for (std::size_t member = 1; member < n_threads; member++) {
            threads_.emplace_back([this, member] { serve(member); });
        }
    } catch (const std::exception &) {
        // No thread or no memory for one: fewer do the same work.
    }
}

BertTeam::~BertTeam() {
    over_.store(true, std::memory_order_relaxed);
    for (std::thread &thread : threads_) thread.join();
}

void BertTeam::share(Job job, int64_t n) {
    job_ = job;
    undone_.store(n, std::memory_order_relaxed);
    const uint64_t step = tickets_.load(std::memory_order_relaxed) / STEP + 1;
    tickets_.store(step * STEP + static_cast<uint64_t>(n), std::memory_order_release);
    while (work(0)) {
    }
    Patience patience;
    while (undone_.load(std::memory_order_acquire) != 0) patience.wait();
}

bool BertTeam::work(std::size_t member) {
    uint64_t tickets = tickets_.load(std::memory_order_relaxed);
    do {
        if (tickets % STEP == 0) return false;
    } while (
        !tickets_.compare_exchange_weak(tickets, tickets - 1, std::memory_order_acquire, std::memory_order_relaxed));
    job_.call(job_.task, static_cast<int64_t>(tickets % STEP) - 1, member);
    undone_.fetch_sub(1, std::memory_order_release);
    return true;
}

void BertTeam::serve(std::size_t member) {
    Patience patience;
    while (!over_.load(std::memory_order_relaxed)) {
        if (work(member)) {
            patience = {};
        } else {
            patience.wait();
        }
    }
}

} // namespace gpt4all

#include "embed/bert/team.h"

#include "base/waiting.h"

#include <exception>

namespace gpt4all {
namespace {

constexpr uint64_t STEP = uint64_t{1} << 32;

} // namespace

BertTeam::BertTeam(std::size_t n_threads) : n_spins_(spin_count()), computing_(-cpu_nanoseconds()) {
    try {
        for (std::size_t member = 1; member < n_threads; member++) {
            threads_.emplace_back([this, member] { serve(member); });
        }
    } catch (const std::exception &) {
        // No thread or no memory for one: fewer do the same work.
    }
}

BertTeam::~BertTeam() {
    if (!over_) finish();
}

int64_t BertTeam::finish() {
    over_.store(true);
    wake();
    for (std::thread &thread : threads_) thread.join();
    return computing_ + cpu_nanoseconds();
}

void BertTeam::share(Job job, int64_t n) {
    job_ = job;
    undone_.store(n, std::memory_order_relaxed);
    const uint64_t step = tickets_.load(std::memory_order_relaxed) / STEP + 1;
    tickets_.store(step * STEP + static_cast<uint64_t>(n));
    wake();
    while (work(0)) {
    }
    wait([this] { return undone_.load() == 0; });
}

// As at the barriers of ggml's threads: whoever is about to sleep is seen by whoever changes what it waits for, or sees
// that change.
template <class Done> void BertTeam::wait(const Done &done) {
    for (int32_t spins = 0; spins < n_spins_; spins++) {
        if (done()) return;
        relax();
    }
    computing_ -= SPIN_NANOSECONDS;
    n_sleeping_.fetch_add(1);
    for (int32_t woken = n_woken_.load(); !done(); woken = n_woken_.load()) sleep_while(&n_woken_, woken);
    n_sleeping_.fetch_sub(1);
}

void BertTeam::wake() {
    if (n_sleeping_.load() == 0) return;
    n_woken_.fetch_add(1);
    wake_all(&n_woken_);
}

bool BertTeam::work(std::size_t member) {
    uint64_t tickets = tickets_.load(std::memory_order_relaxed);
    do {
        if (tickets % STEP == 0) return false;
    } while (
        !tickets_.compare_exchange_weak(tickets, tickets - 1, std::memory_order_acquire, std::memory_order_relaxed));
    job_.call(job_.task, static_cast<int64_t>(tickets % STEP) - 1, member);
    if (undone_.fetch_sub(1) == 1) wake();
    return true;
}

void BertTeam::serve(std::size_t member) {
    while (!over_.load(std::memory_order_relaxed)) {
        while (work(member)) {
        }
        wait([this] { return over_.load() || tickets_.load() % STEP != 0; });
    }
    computing_ += cpu_nanoseconds();
}

} // namespace gpt4all

// ggml's threads: made, freed, and kept from ending the process.
#pragma once

#include "engine/thread_count.h"

#include "ggml-cpu.h"

#include <cstdint>
#include <memory>

namespace gpt4all {

struct FreeThreadPool {
    void operator()(ggml_threadpool *pool) const;
};

// Whoever waits for work spins a little before it sleeps. Throws where the threads cannot be started.
std::unique_ptr<ggml_threadpool, FreeThreadPool> make_thread_pool(int32_t n_threads);

// Nanoseconds that a pool has spent in computations, and that its threads computed in them, summed up.
struct PoolUsage {
    int64_t wall;
    int64_t computing;
};
PoolUsage usage_of(const ggml_threadpool *pool);
int64_t nanoseconds_now();

// compute(n_threads) with as many threads of the pool as do well; returns what it does.
template <class Compute> auto compute_with(ggml_threadpool *pool, ThreadCount &threads, const Compute &compute) {
    const int64_t start = nanoseconds_now();
    const PoolUsage before = usage_of(pool);
    const auto result = compute(threads.next(start));
    const PoolUsage after = usage_of(pool);
    threads.computed(nanoseconds_now(), after.wall - before.wall, after.computing - before.computing);
    return result;
}

// Makes an assertion that any computing thread meets a failed computation, and has threads wait for each other as ours
// do; once, when the engine starts.
void hook_computations();

} // namespace gpt4all

// ggml's threads: made, freed, and kept from ending the process.
#pragma once

#include "ggml-cpu.h"

#include <cstdint>
#include <memory>

namespace gpt4all {

struct FreeThreadPool {
    void operator()(ggml_threadpool *pool) const;
};

// Whoever waits for work spins a little before it sleeps. Throws where the threads cannot be started.
std::unique_ptr<ggml_threadpool, FreeThreadPool> make_thread_pool(int32_t n_threads);

// Makes an assertion that any computing thread meets a failed computation; once, when the engine starts.
void guard_computations();

} // namespace gpt4all

#include "engine/thread_pool.h"

#include "base/guard.h"
#include "base/waiting.h"

#include "ggml-backend.h"

#include <chrono>
#include <cstdio>
#include <string>

namespace gpt4all {
namespace {

// See backends/patches/10-thread-pool.patch.
using SetWaiting = void (*)(int n_spins, int64_t spin_ns, void (*sleep)(void *word, int value),
                            void (*wake)(void *word), int64_t (*cpu_time)());
using GetUsage = void (*)(const ggml_threadpool *pool, int64_t *wall, int64_t *computing);

// The CPU part of ggml may be a module, so its functions are looked up.
template <class Function> Function cpu_function(const char *name) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    if (cpu == nullptr) throw Error(GPT4ALL_ERROR_UNSUPPORTED_CPU, "the engine has no CPU device");
    void *address = ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name);
    if (address == nullptr) throw Error(GPT4ALL_ERROR_INTERNAL, std::string("the CPU module lacks ") + name);
    return reinterpret_cast<Function>(address);
}

// Runs one thread's part of a computation; see backends/patches/10-thread-pool.patch.
bool run_guarded(void (*body)(void *), void *data, char *failure, std::size_t size) {
    try {
        AbortScope scope;
        body(data);
        return true;
    } catch (const std::exception &error) {
        std::snprintf(failure, size, "%s", error.what());
    } catch (...) {
        std::snprintf(failure, size, "unknown C++ exception");
    }
    return false;
}

void leave_computation() { throw EngineAbort("another thread failed"); }

} // namespace

std::unique_ptr<ggml_threadpool, FreeThreadPool> make_thread_pool(int32_t n_threads) {
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    // A few milliseconds of spinning bridge the gap between two tokens; the
    // default would burn a core for a good part of a second after every call.
    params.poll = 1;
    std::unique_ptr<ggml_threadpool, FreeThreadPool> pool(
        cpu_function<decltype(&ggml_threadpool_new)>("ggml_threadpool_new")(&params));
    if (pool == nullptr) {
        throw Error(GPT4ALL_ERROR_OUT_OF_MEMORY, "the engine's " + std::to_string(n_threads) +
                                                     " threads could not be started; ask for fewer, or raise the "
                                                     "limits on processes and memory");
    }
    return pool;
}

void FreeThreadPool::operator()(ggml_threadpool *pool) const {
    cpu_function<decltype(&ggml_threadpool_free)>("ggml_threadpool_free")(pool);
}

PoolUsage usage_of(const ggml_threadpool *pool) {
    PoolUsage usage = {0, 0};
    cpu_function<GetUsage>("ggml_threadpool_get_usage")(pool, &usage.wall, &usage.computing);
    return usage;
}

int64_t nanoseconds_now() {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void hook_computations() {
    cpu_function<decltype(&ggml_cpu_set_guard)>("ggml_cpu_set_guard")(run_guarded, leave_computation);
    cpu_function<SetWaiting>("ggml_cpu_set_waiting")(spin_count(), SPIN_NANOSECONDS, sleep_while, wake_all,
                                                     cpu_nanoseconds);
}

} // namespace gpt4all

#include "base/waiting.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <ctime>
#endif

#if defined(__linux__)
#include <climits>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <condition_variable>
#include <mutex>
#endif

namespace gpt4all {

int32_t spin_count() {
    static const int32_t count = [] {
        using Clock = std::chrono::steady_clock;
        constexpr int32_t N = 2000;
        std::atomic<int32_t> watched{0};
        // The least of several: others may take the processor meanwhile.
        int64_t best = INT64_MAX;
        for (int32_t round = 0; round < 5; round++) {
            const auto start = Clock::now();
            for (int32_t i = 0; i < N && watched.load(std::memory_order_relaxed) == 0; i++) relax();
            best = std::min<int64_t>(best, std::chrono::nanoseconds(Clock::now() - start).count());
        }
        return static_cast<int32_t>(
            std::clamp<int64_t>(N * SPIN_NANOSECONDS / std::max<int64_t>(best, 1), 100, 100'000));
    }();
    return count;
}

#if defined(__linux__)

void sleep_while(void *word, int32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake_all(void *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }

#else

namespace {

// For all words: those that sleep on another one look, and sleep again.
std::mutex sleepers_mutex;
std::condition_variable sleepers;

} // namespace

void sleep_while(void *word, int32_t value) {
    std::unique_lock<std::mutex> lock(sleepers_mutex);
    if (__atomic_load_n(static_cast<int32_t *>(word), __ATOMIC_SEQ_CST) == value) sleepers.wait(lock);
}

void wake_all(void *) {
    {
        // Or it could come between a look at the word and the wait.
        const std::lock_guard<std::mutex> lock(sleepers_mutex);
    }
    sleepers.notify_all();
}

#endif

int64_t cpu_nanoseconds() {
#if defined(_WIN32)
    FILETIME created, ended, kernel, user;
    if (GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user) == 0) return 0;
    const auto hundreds = [](const FILETIME &time) {
        return static_cast<int64_t>(time.dwHighDateTime) << 32 | time.dwLowDateTime;
    };
    return 100 * (hundreds(kernel) + hundreds(user));
#else
    timespec time;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0) return 0;
    return int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
#endif
}

} // namespace gpt4all

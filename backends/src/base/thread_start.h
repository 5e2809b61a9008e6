// Starts threads so that a lack of memory ends none of them, nor the process.
#pragma once

#include "base/guard.h"

#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <sys/mman.h>
#endif

namespace gpt4all {

// Address space for the thread-local variables of some threads, several times over. A C library makes those when they
// are first used, out of pages of its own where there is no room for a heap, and ends the process where there are none.
class ThreadRoom {
public:
#if defined(_WIN32)
    // Threads come with their variables.
    explicit ThreadRoom(std::size_t) {}
    bool found() const { return true; }
#else
    explicit ThreadRoom(std::size_t n_threads)
        : size_((n_threads + 1) * 64 * 1024),
          memory_(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
    ~ThreadRoom() {
        if (found()) munmap(memory_, size_);
    }
    bool found() const { return memory_ != MAP_FAILED; }

private:
    std::size_t size_;
    void *memory_;

public:
#endif
    ThreadRoom(const ThreadRoom &) = delete;
    ThreadRoom &operator=(const ThreadRoom &) = delete;
};

// Threads that call body(1), body(2), … body(n); fewer where there is no memory for them.
template <class Body> std::vector<std::thread> start_threads(std::size_t n, const Body &body) {
    std::vector<std::thread> threads;
    std::atomic<bool> may_begin{false};
    std::atomic<std::size_t> n_begun{0};
    try {
        const ThreadRoom room(n);
        for (std::size_t index = 1; room.found() && index <= n; index++) {
            threads.emplace_back([&may_begin, &n_begun, &body, index] {
                while (!may_begin) std::this_thread::yield();
                const Body mine = body;
                {
                    AbortScope first_use;
                }
                n_begun++;
                mine(index);
            });
        }
    } catch (const std::exception &) {
        // No thread or no memory for one: fewer do the same work.
    }
    may_begin = true;
    while (n_begun < threads.size()) std::this_thread::yield();
    return threads;
}

} // namespace gpt4all

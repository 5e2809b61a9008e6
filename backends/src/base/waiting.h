// How threads wait for each other: for a moment by spinning, then asleep, so that whoever they wait for gets a
// processor.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace gpt4all {

// Longer than threads with a processor each let one another wait, so that they need not be woken; little beside the
// milliseconds that pass before a system gives a processor to one that has lost it. On a free machine with two cores,
// 20 and 500 microseconds were slower.
constexpr int64_t SPIN_NANOSECONDS = 200'000;

// What a thread does while it spins.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

// How many times, with a look at a variable each, take SPIN_NANOSECONDS on this machine.
int32_t spin_count();

// Sleeps, unless the 32 bits at `word` are not `value`, until wake_all(word); may come back without reason.
void sleep_while(void *word, int32_t value);

// Wakes all that sleep on it. Whatever changes `word` has to come before.
void wake_all(void *word);

// Nanoseconds that the calling thread has had a processor.
int64_t cpu_nanoseconds();

} // namespace gpt4all

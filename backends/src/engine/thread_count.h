// How many threads compute, where others use the machine too.
#pragma once

#include <cstdint>

namespace gpt4all {

// Threads that compute together wait for each other some hundred times a token. Where one of them does not get its
// processor, all of them wait until it does, and fewer threads, with a processor each, are faster.
//
// What tells is the speed, in processors: of the time that went by, how often over threads were computing. On a machine
// that is free it is the number of threads, and nothing is tried. Where it is less, a number that may do better is
// tried for a moment, and now and then whether more do; what came out worse is not tried again until that has cost no
// more than a thirtieth of the time.
class ThreadCount {
public:
    explicit ThreadCount(int32_t most) : most_(most), best_(most) {}

    // For the next computation, which begins at `now`, in nanoseconds of any clock.
    int32_t next(int64_t now);

    // After a computation with so many threads: the time that it took, and what each of them computed, summed up.
    void computed(int64_t now, int64_t wall, int64_t computing);

private:
    int32_t candidate() const;
    void judge(int64_t now, int64_t wall, double speed);

    int32_t most_;
    int32_t best_;
    int32_t trial_ = 0;    // the number that is tried, 0 for none
    double speed_ = 0;     // of the best; 0 before the first
    double before_ = 0;    // what it was before that: others may only have been there for a moment
    bool upwards_ = false; // what to try next
    int32_t stride_ = 0;   // how much further up, 0 for half of the way
    int64_t not_before_ = INT64_MIN;
    int64_t wall_ = 0; // since the last judgement
    int64_t computing_ = 0;
};

} // namespace gpt4all

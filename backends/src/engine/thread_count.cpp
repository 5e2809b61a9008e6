#include "engine/thread_count.h"

#include <algorithm>
#include <cmath>

namespace gpt4all {
namespace {

// Over some turns of a system's scheduler, each of some milliseconds.
constexpr int64_t WINDOW = 60'000'000;

// How much must be gained by another thread, as waiting for it looks a little like computing.
constexpr double GAIN = 1.1;

// What a trial has lost is spread over that many times as long, and trials that lose nothing are not without end.
constexpr int64_t SPREAD = 30;
constexpr int64_t LEAST_PAUSE = 500'000'000;
constexpr int64_t LONGEST_PAUSE = 60'000'000'000;

} // namespace

int32_t ThreadCount::next(int64_t now) {
    if (trial_ == 0 && speed_ > 0 && now >= not_before_) {
        trial_ = candidate();
        if (trial_ != 0) wall_ = computing_ = 0;
    }
    return trial_ != 0 ? trial_ : best_;
}

// 0 where nothing promises to be better.
int32_t ThreadCount::candidate() const {
    // So many threads could be as fast if they had a processor each.
    const auto fewer = std::max(1, static_cast<int32_t>(std::ceil(std::max(speed_, before_) / GAIN)));
    if (fewer < best_ && (!upwards_ || best_ == most_)) return fewer;
    if (best_ == most_) return 0;
    const int32_t half = (most_ - best_ + 1) / 2;
    return best_ + (stride_ == 0 ? half : std::min(stride_, half));
}

void ThreadCount::computed(int64_t now, int64_t wall, int64_t computing) {
    wall_ += wall;
    computing_ += computing;
    if (wall_ < WINDOW) return;
    judge(now, wall_, std::max(0.001, static_cast<double>(computing_) / static_cast<double>(wall_)));
    wall_ = computing_ = 0;
}

void ThreadCount::judge(int64_t now, int64_t wall, double speed) {
    if (trial_ == 0) {
        before_ = speed_ > 0 ? speed_ : speed;
        speed_ = speed;
        return;
    }
    const bool up = trial_ > best_;
    const bool better = up ? speed > speed_ * GAIN : speed * GAIN > speed_;
    const double worse = better ? speed_ / speed : speed / speed_;
    if (better) {
        stride_ = up ? 2 * (trial_ - best_) : 0;
        best_ = trial_;
        speed_ = before_ = speed;
        upwards_ = true;
    } else {
        if (up) stride_ = (trial_ - best_) / 2;
        upwards_ = !up;
    }
    trial_ = 0;
    // More that were better may be better still.
    if (better && up) return;
    const double lost = std::max(0.0, 1 - worse) * static_cast<double>(wall);
    not_before_ = now + std::clamp(static_cast<int64_t>(lost * SPREAD), LEAST_PAUSE, LONGEST_PAUSE);
}

} // namespace gpt4all

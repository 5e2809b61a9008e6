// The caller's flag that stops a call.
#pragma once

#include "base/guard.h"

namespace gpt4all {

inline bool is_set(const int32_t *flag) {
    if (flag == nullptr) return false;
#if defined(__GNUC__)
    return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
#else
    return *static_cast<const volatile int32_t *>(flag) != 0;
#endif
}

// Leaves work whose callers have nothing to tidy up.
class Cancelled : public Error {
public:
    Cancelled() : Error(GPT4ALL_ERROR_CANCELLED, "the call was stopped") {}
};

} // namespace gpt4all

// The caller's memory for what a call makes.
#pragma once

#include "base/guard.h"

#include <cstdint>
#include <string>

namespace gpt4all {

inline void require_buffer(const void *buffer, int64_t capacity, const char *name) {
    if (capacity < 0) invalid_argument("capacity must not be negative");
    if (capacity > 0) require(buffer, name);
}

// As in "the text has", 5, 3, "tokens".
inline void require_room(int64_t needed, int64_t capacity, const char *whose, const std::string &unit) {
    if (needed <= capacity) return;
    throw Error(GPT4ALL_ERROR_BUFFER_TOO_SMALL, std::string(whose) + " " + std::to_string(needed) + " " + unit +
                                                    ", but only " + std::to_string(capacity) + " fit");
}

} // namespace gpt4all

// How characters begin in UTF-8.
#pragma once

namespace gpt4all {

// Bytes that follow the first one of a character; -1 where none begins so.
inline int continuation_bytes(unsigned char first) {
    if (first < 0x80) return 0;
    if (first < 0xC2) return -1;
    if (first < 0xE0) return 1;
    if (first < 0xF0) return 2;
    return first < 0xF5 ? 3 : -1;
}

inline bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

} // namespace gpt4all

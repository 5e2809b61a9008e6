// Structs that cross the ABI, of a package that may be older or newer than this library.
#pragma once

#include "base/guard.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace gpt4all {

// A caller built against a newer header may have set a field this library does not know.
inline void refuse_unknown_tail(const void *given, std::size_t known, std::size_t size, const char *name) {
    for (std::size_t i = known; i < size; i++) {
        if (static_cast<const unsigned char *>(given)[i] != 0) {
            invalid_argument(std::string(name) +
                             " sets a field this library does not know; package and library differ");
        }
    }
}

// Reads a caller's versioned struct: fields it does not have keep their
// defaults, and bytes this library does not know must be zero.
template <class Options> Options read_options(const Options *given, const Options &defaults, const char *name) {
    require(given, name);
    const std::size_t size = given->struct_size;
    if (size < sizeof(uint32_t)) {
        invalid_argument(std::string(name) + " has no struct_size; call its init function first");
    }
    Options options = defaults;
    std::memcpy(&options, given, size < sizeof(Options) ? size : sizeof(Options));
    refuse_unknown_tail(given, sizeof(Options), size, name);
    options.struct_size = sizeof(Options);
    return options;
}

// Fills the caller's struct of `size` bytes with defaults, zero past our end.
template <class Struct> void write_defaults(Struct *out, uint64_t size, Struct defaults, const char *name) {
    require(out, name);
    if (size < sizeof(uint32_t) || size > 4096) invalid_argument(std::string(name) + " has an impossible size");
    std::memset(static_cast<void *>(out), 0, size);
    defaults.struct_size = static_cast<uint32_t>(size);
    std::memcpy(static_cast<void *>(out), &defaults, size < sizeof(Struct) ? size : sizeof(Struct));
}

// Copies a filled struct out, no further than the caller's struct reaches.
template <class Struct> void write_result(Struct *out, Struct filled, const char *name) {
    require(out, name);
    const std::size_t size = out->struct_size;
    if (size < sizeof(uint32_t)) invalid_argument(std::string(name) + " has no struct_size; set it to its size");
    refuse_unknown_tail(out, sizeof(Struct), size, name);
    filled.struct_size = out->struct_size;
    std::memcpy(static_cast<void *>(out), &filled, size < sizeof(Struct) ? size : sizeof(Struct));
}

} // namespace gpt4all

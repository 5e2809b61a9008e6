// The barrier between C++ and C: every exported function runs its body in
// guarded(), which turns any exception into a status and a thread-local message.
#pragma once

#include "gpt4all_backend.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

namespace gpt4all {

class Error : public std::runtime_error {
public:
    Error(gpt4all_status status, const std::string &message) : std::runtime_error(message), status_(status) {}
    gpt4all_status status() const { return status_; }

private:
    gpt4all_status status_;
};

// What ggml would have called abort() on. The engine's state behind the call
// that threw it is unknown.
class EngineAbort : public Error {
public:
    explicit EngineAbort(const std::string &message) : Error(GPT4ALL_ERROR_INTERNAL, message) {}
};

[[noreturn]] inline void invalid_argument(const std::string &message) {
    throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, message);
}

inline void require(const void *pointer, const char *name) {
    if (pointer == nullptr) invalid_argument(std::string(name) + " must not be NULL");
}

void set_last_error(const char *message) noexcept;

// Lets ggml's abort throw EngineAbort on this thread instead of ending the process.
class AbortScope {
public:
    AbortScope();
    ~AbortScope();
    AbortScope(const AbortScope &) = delete;
    AbortScope &operator=(const AbortScope &) = delete;
};

template <class Body> gpt4all_status guarded(Body &&body) noexcept {
    set_last_error("");
    try {
        AbortScope scope;
        body();
        return GPT4ALL_OK;
    } catch (const Error &error) {
        set_last_error(error.what());
        return error.status();
    } catch (const std::bad_alloc &) {
        set_last_error("not enough memory");
        return GPT4ALL_ERROR_OUT_OF_MEMORY;
    } catch (const std::exception &error) {
        set_last_error(error.what());
        return GPT4ALL_ERROR_INTERNAL;
    } catch (...) {
        set_last_error("unknown C++ exception");
        return GPT4ALL_ERROR_INTERNAL;
    }
}

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

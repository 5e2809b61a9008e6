// The barrier between C++ and C: every exported function runs its body in
// guarded(), which turns any exception into a status and a thread-local message.
#pragma once

#include "gpt4all_backend.h"

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

// After an EngineAbort.
[[noreturn]] inline void refuse_broken() {
    throw Error(GPT4ALL_ERROR_INTERNAL, "the engine failed in an earlier call; close this model and load it again");
}

[[noreturn]] inline void invalid_argument(const std::string &message) {
    throw Error(GPT4ALL_ERROR_INVALID_ARGUMENT, message);
}

inline void require(const void *pointer, const char *name) {
    if (pointer == nullptr) invalid_argument(std::string(name) + " must not be NULL");
}

// Of this thread.
void set_last_error(const char *message) noexcept;
const char *last_error() noexcept;

// Lets ggml's abort throw EngineAbort on this thread instead of ending the process.
class AbortScope {
public:
    AbortScope();
    ~AbortScope();
    AbortScope(const AbortScope &) = delete;
    AbortScope &operator=(const AbortScope &) = delete;

    static bool is_open();
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

} // namespace gpt4all

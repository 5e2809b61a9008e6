// Takes llama.cpp's and ggml's log output and abort messages.
#pragma once

#include "gpt4all_backend.h"

#include <string>

namespace gpt4all {

// Installs the hooks; once, when the engine starts.
void install_log_hooks();

// Where lines go; NULL is nowhere. Returns after the last use of the one before.
void set_log_callback(gpt4all_log_callback callback, void *payload);

// Collects this thread's error lines while it lives: llama.cpp tells why a
// call failed only in its log.
class ErrorCapture {
public:
    ErrorCapture();
    ~ErrorCapture();
    ErrorCapture(const ErrorCapture &) = delete;
    ErrorCapture &operator=(const ErrorCapture &) = delete;

    // The lines joined with "; ", or `fallback` when there were none.
    std::string text(const char *fallback) const;

    // Throws GPT4ALL_ERROR_INVALID_MODEL after an assertion of ggml has failed,
    // which llama.cpp's loading catches and only logs: what cannot be built is the file's fault.
    void check_model() const;

    void add_line(const std::string &line);
    void set_abort(const char *message) { abort_ = message; }

private:
    ErrorCapture *previous_;
    std::string lines_;
    std::string abort_;
};

// Drops this thread's log lines while it lives; errors are still captured.
class MuteLog {
public:
    MuteLog();
    ~MuteLog();
    MuteLog(const MuteLog &) = delete;
    MuteLog &operator=(const MuteLog &) = delete;
};

} // namespace gpt4all

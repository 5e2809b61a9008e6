#include "base/log.h"

#include "base/guard.h"

#include "ggml.h"
#include "llama.h"

#include <mutex>
#include <new>
#include <shared_mutex>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace gpt4all {
namespace {

std::shared_mutex callback_mutex;
gpt4all_log_callback callback = nullptr;
void *callback_payload = nullptr;

thread_local int mutes = 0;
thread_local bool in_log_callback = false;
thread_local ErrorCapture *capture = nullptr;

int32_t level_of(ggml_log_level level) {
    switch (level) {
    case GGML_LOG_LEVEL_ERROR: return GPT4ALL_LOG_ERROR;
    case GGML_LOG_LEVEL_WARN: return GPT4ALL_LOG_WARNING;
    case GGML_LOG_LEVEL_INFO: return GPT4ALL_LOG_INFO;
    default: return GPT4ALL_LOG_DEBUG;
    }
}

void emit_line(ggml_log_level level, const std::string &line) {
    if (line.empty()) return;
    if (capture != nullptr && level == GGML_LOG_LEVEL_ERROR) capture->add_line(line);
    // What a callback itself makes the library say is dropped.
    if (in_log_callback || mutes > 0) return;
    std::shared_lock lock(callback_mutex);
    if (callback == nullptr) return;
    in_log_callback = true;
    callback(level_of(level), line.data(), static_cast<int64_t>(line.size()), callback_payload);
    in_log_callback = false;
}

// llama.cpp logs in fragments; a line goes out when its end has come.
void on_log(ggml_log_level level, const char *text, void *) {
    thread_local std::string pending;
    thread_local ggml_log_level pending_level = GGML_LOG_LEVEL_INFO;
    try {
        if (level != GGML_LOG_LEVEL_CONT) pending_level = level;
        for (const char *c = text; *c != '\0'; c++) {
            if (*c == '\n') {
                std::string line;
                line.swap(pending);
                emit_line(pending_level, line);
            } else {
                pending += *c;
            }
        }
    } catch (...) {
        // Losing a log line is better than losing the process.
    }
}

// Every thread that computes can be unwound; on a driver's own, ggml goes on to abort().
void on_abort(const char *message) {
    if (capture != nullptr) capture->set_abort(message);
    if (AbortScope::is_open()) throw EngineAbort(std::string("the engine refused to go on: ") + message);
    emit_line(GGML_LOG_LEVEL_ERROR, message);
}

// A thread that logs while the process forks would leave the child its lock.
void renew_lock_in_children() {
#if !defined(_WIN32)
    pthread_atfork(nullptr, nullptr, [] {
        if (!in_log_callback) new (&callback_mutex) std::shared_mutex;
    });
#endif
}

} // namespace

ErrorCapture::ErrorCapture() : previous_(capture) { capture = this; }
ErrorCapture::~ErrorCapture() { capture = previous_; }

void ErrorCapture::add_line(const std::string &line) {
    if (!lines_.empty()) lines_ += "; ";
    lines_ += line;
}

std::string ErrorCapture::text(const char *fallback) const { return lines_.empty() ? fallback : lines_; }

void ErrorCapture::check_model() const {
    if (abort_.empty()) return;
    throw Error(GPT4ALL_ERROR_INVALID_MODEL,
                "the file's tensors and hyper-parameters make no model of its architecture, so it is damaged or badly "
                "converted: " +
                    abort_);
}

MuteLog::MuteLog() { mutes++; }
MuteLog::~MuteLog() { mutes--; }

void install_log_hooks() {
    renew_lock_in_children();
    llama_log_set(on_log, nullptr);
    ggml_set_abort_callback(on_abort);
}

void set_log_callback(gpt4all_log_callback given, void *payload) {
    if (in_log_callback) throw Error(GPT4ALL_ERROR_BUSY, "the log callback cannot be replaced while it runs");
    std::unique_lock lock(callback_mutex);
    callback = given;
    callback_payload = payload;
}

} // namespace gpt4all

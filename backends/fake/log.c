/* A line is delivered under the read lock, so that taking the write lock waits
 * for the last use of the old callback. */
#include "fake.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_rwlock_t log_lock = PTHREAD_RWLOCK_INITIALIZER;
static gpt4all_log_callback log_callback;
static void *log_payload;
static _Thread_local bool inside_log_callback;

void log_bytes(int32_t level, const char *text, size_t length) {
    if (inside_log_callback) return;
    pthread_rwlock_rdlock(&log_lock);
    if (log_callback != NULL) {
        inside_log_callback = true;
        log_callback(level, text, (int64_t)length, log_payload);
        inside_log_callback = false;
    }
    pthread_rwlock_unlock(&log_lock);
}

__attribute__((format(printf, 1, 2))) void log_call(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_bytes(GPT4ALL_LOG_DEBUG, line, strlen(line));
}

gpt4all_status gpt4all_set_log_callback(gpt4all_log_callback callback, void *payload) {
    forget_error();
    if (inside_log_callback)
        return fail(GPT4ALL_ERROR_BUSY, "the log callback cannot be replaced from inside a log callback");
    pthread_rwlock_wrlock(&log_lock);
    log_callback = callback;
    log_payload = payload;
    pthread_rwlock_unlock(&log_lock);
    return GPT4ALL_OK;
}

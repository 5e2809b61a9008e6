/* Time, and waits for the caller's cancel flag. */
#include "fake.h"

#include <time.h>

enum { POLL_US = 500, GATE_LIMIT_US = 60 * 1000 * 1000 };

bool is_set(const int32_t *flag) { return flag != NULL && __atomic_load_n(flag, __ATOMIC_RELAXED) != 0; }

int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool pause_unless(const int32_t *flag, int64_t duration_us) {
    const int64_t end = now_us() + duration_us;
    while (!is_set(flag)) {
        int64_t left = duration_us > 0 ? end - now_us() : 0;
        if (left <= 0) return false;
        struct timespec slice = {0, (long)(left < POLL_US ? left : POLL_US) * 1000};
        nanosleep(&slice, NULL);
    }
    return true;
}

gpt4all_status wait_for_flag(const int32_t *flag) {
    static const char waiting[] = "waiting for the cancel flag";
    log_bytes(GPT4ALL_LOG_DEBUG, waiting, sizeof waiting - 1);
    if (pause_unless(flag, GATE_LIMIT_US)) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_INTERNAL, "the script waits for the cancel flag, but nobody has set it");
}

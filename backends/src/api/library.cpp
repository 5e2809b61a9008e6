#include "base/guard.h"
#include "base/log.h"
#include "engine/start.h"

int32_t gpt4all_abi_version(void) { return GPT4ALL_ABI_VERSION; }

const char *gpt4all_build_info(void) { return GPT4ALL_BUILD_INFO; }

const char *gpt4all_cpu_info(void) { return gpt4all::cpu_info(); }

const char *gpt4all_last_error(void) { return gpt4all::last_error(); }

gpt4all_status gpt4all_set_log_callback(gpt4all_log_callback callback, void *payload) {
    return gpt4all::guarded([&] { gpt4all::set_log_callback(callback, payload); });
}

gpt4all_status gpt4all_init(void) {
    return gpt4all::guarded([] { gpt4all::start_engine(); });
}

/*
 * The library and its devices. What no file is read before is fixed when this
 * is compiled: FAKE_ABI_VERSION, FAKE_BACKEND_NAME ("cpu"), FAKE_INIT_STATUS (of
 * gpt4all_init), FAKE_LOAD_STATUS (of gpt4all_model_load, once the script has
 * been read), FAKE_DEVICES (gpt4all_device_info initialisers, each followed by
 * a comma, after the CPU).
 */
#include "fake.h"

#ifndef FAKE_ABI_VERSION
#define FAKE_ABI_VERSION GPT4ALL_ABI_VERSION
#endif
#ifndef FAKE_BACKEND_NAME
#define FAKE_BACKEND_NAME "cpu"
#endif
#ifndef FAKE_INIT_STATUS
#define FAKE_INIT_STATUS GPT4ALL_OK
#endif
#ifndef FAKE_LOAD_STATUS
#define FAKE_LOAD_STATUS GPT4ALL_OK
#endif
#ifndef FAKE_DEVICES
#define FAKE_DEVICES
#endif

const gpt4all_status fixed_load_status = FAKE_LOAD_STATUS;

static atomic_bool initialised;

gpt4all_status need_init(void) {
    if (!atomic_load(&initialised)) return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "gpt4all_init has not been called");
    return GPT4ALL_OK;
}

int32_t gpt4all_abi_version(void) { return FAKE_ABI_VERSION; }

const char *gpt4all_build_info(void) { return FAKE_BACKEND_NAME " fake-backend no-engine"; }

const char *gpt4all_cpu_info(void) { return atomic_load(&initialised) ? "fake: SSE3 AVX" : ""; }

gpt4all_status gpt4all_init(void) {
    forget_error();
    if (FAKE_INIT_STATUS != GPT4ALL_OK) return fail(FAKE_INIT_STATUS, "this fake was compiled to fail here");
    atomic_store(&initialised, true);
    return GPT4ALL_OK;
}

const gpt4all_device_info devices[] = {{sizeof(gpt4all_device_info), GPT4ALL_DEVICE_CPU, INT64_C(8) << 30,
                                        INT64_C(4) << 30, "CPU", "Fake processor", "", "CPU"},
                                       FAKE_DEVICES};
const int32_t n_devices = sizeof devices / sizeof devices[0];
_Static_assert(sizeof devices / sizeof devices[0] <= MOST_DEVICES, "FAKE_DEVICES has too many");

gpt4all_status gpt4all_device_count(int32_t *count) {
    forget_error();
    if (count == NULL) return null_argument("count");
    gpt4all_status status = need_init();
    if (status == GPT4ALL_OK) *count = n_devices;
    return status;
}

gpt4all_status check_device_index(const char *name, int32_t index, int32_t lowest) {
    if (index >= lowest && index < n_devices) return GPT4ALL_OK;
    return fail(GPT4ALL_ERROR_INVALID_ARGUMENT, "%s %d is unknown; there are %d devices", name, (int)index,
                (int)n_devices);
}

gpt4all_status gpt4all_device_get_info(int32_t index, gpt4all_device_info *info) {
    forget_error();
    gpt4all_status status = check_struct(info, sizeof *info, "info");
    if (status == GPT4ALL_OK) status = need_init();
    if (status == GPT4ALL_OK) status = check_device_index("index", index, 0);
    if (status == GPT4ALL_OK) write_struct(info, &devices[index], sizeof *info);
    return status;
}

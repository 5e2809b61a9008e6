/*
 * NVIDIA's driver and its management library with scripted GPUs, for tests of the GPU probe
 *
 *     cc -shared -fPIC -std=c11 -D_GNU_SOURCE cuda.c -o libcuda.so.1
 *     cc -shared -fPIC -std=c11 -D_GNU_SOURCE cuda.c -o libnvidia-ml.so.1
 *
 * The environment says how the driver behaves:
 *     FAKE_DRIVER=crash      cuInit dies of SIGSEGV
 *     FAKE_DRIVER=refuse     cuInit returns CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
 *     FAKE_DRIVER=none       cuInit returns CUDA_ERROR_NO_DEVICE
 * Otherwise it lists a discrete and an integrated GPU.
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NO_DEVICE = 100, SYSTEM_DRIVER_MISMATCH = 803, ATTRIBUTE_INTEGRATED = 18 };

static const struct {
    const char *name, *bus;
    uint64_t memory;
    int integrated;
} gpus[] = {
    {"NVIDIA RTX 4090", "0000:0A:00.0", UINT64_C(24) << 30, 0},
    {"NVIDIA Thor", "0000:0B:00.0", UINT64_C(64) << 30, 1},
};
enum { N_GPUS = sizeof gpus / sizeof gpus[0] };

static int told(const char *how) {
    const char *chosen = getenv("FAKE_DRIVER");
    return chosen != NULL && strcmp(chosen, how) == 0;
}

int cuInit(unsigned flags) {
    (void)flags;
    if (told("crash")) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    if (told("refuse")) return SYSTEM_DRIVER_MISMATCH;
    return told("none") ? NO_DEVICE : SUCCESS;
}

int cuDriverGetVersion(int *version) {
    *version = 12040;
    return SUCCESS;
}

int cuDeviceGetCount(int *count) {
    *count = N_GPUS;
    return SUCCESS;
}

int cuDeviceGet(int *device, int index) {
    *device = index;
    return SUCCESS;
}

int cuDeviceGetName(char *name, int size, int device) {
    snprintf(name, (size_t)size, "%s", gpus[device].name);
    return SUCCESS;
}

int cuDeviceGetPCIBusId(char *bus, int size, int device) {
    snprintf(bus, (size_t)size, "%s", gpus[device].bus);
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = gpus[device].memory;
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == ATTRIBUTE_INTEGRATED ? gpus[device].integrated : 0;
    return SUCCESS;
}

int cuGetErrorString(int error, const char **text) {
    *text = error == SYSTEM_DRIVER_MISMATCH ? "system has unsupported display driver / cuda driver combination" : NULL;
    return SUCCESS;
}

int nvmlInit_v2(void) { return SUCCESS; }

int nvmlShutdown(void) { return SUCCESS; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    snprintf(version, length, "550.54.14");
    return SUCCESS;
}

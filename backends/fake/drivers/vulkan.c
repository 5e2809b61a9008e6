/*
 * A Vulkan loader with a scripted driver behind it, for tests of the GPU probe
 *
 *     cc -shared -fPIC -std=c11 -D_GNU_SOURCE vulkan.c -o libvulkan.so.1
 *
 * The environment says how the driver behaves:
 *     FAKE_DRIVER=crash      it dies of SIGSEGV
 *     FAKE_DRIVER=hang       it never returns; the file that FAKE_DRIVER_MARK
 *                            names then holds the id of its process
 *     FAKE_DRIVER=refuse     VK_ERROR_INCOMPATIBLE_DRIVER
 *     FAKE_DRIVER=exit       it ends the process, with status 7
 *     FAKE_DRIVER=chatter    it writes to standard output and error, then goes on
 * Otherwise it lists a discrete NVIDIA GPU at 0000:0a:00.0, an integrated one
 * of AMD that does not tell where it is, and one played by the processor.
 * Written against vulkan_core.h without including it: it must compile anywhere.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, ERROR_INCOMPATIBLE_DRIVER = -9 };
enum {
    TYPE_PROPERTIES_2 = 1000059001,
    TYPE_MEMORY_PROPERTIES_2 = 1000059006,
    TYPE_DRIVER_PROPERTIES = 1000196000,
    TYPE_PCI_BUS_INFO = 1000212000,
    TYPE_MEMORY_BUDGET = 1000237000
};
enum { INTEGRATED = 1, DISCRETE = 2, PLAYED = 4 };

typedef struct chain {
    uint32_t type;
    struct chain *next;
} chain;

typedef struct properties_2 {
    chain head;
    uint32_t api_version, driver_version, vendor, device, kind;
    char name[256];
    uint8_t cache_id[16];
    uint64_t limits[63];
    uint32_t sparse[5];
} properties_2;

typedef struct driver_properties {
    chain head;
    uint32_t id;
    char name[256], info[256];
    uint8_t conformance[4];
} driver_properties;

typedef struct pci_bus_info {
    chain head;
    uint32_t domain, bus, device, function;
} pci_bus_info;

typedef struct memory_properties_2 {
    chain head;
    uint32_t type_count, types[32][2], heap_count;
    struct {
        uint64_t size;
        uint32_t flags;
    } heaps[16];
} memory_properties_2;

typedef struct memory_budget {
    chain head;
    uint64_t budget[16], usage[16];
} memory_budget;

typedef struct extension {
    char name[256];
    uint32_t version;
} extension;

typedef struct gpu {
    const char *name;
    uint32_t vendor, kind, bus; /* bus 0: does not tell where it is, nor what is free */
    uint64_t memory;
    const char *driver, *version;
} gpu;

static gpu gpus[] = {
    {"NVIDIA RTX 4090", 0x10de, DISCRETE, 0x0a, UINT64_C(24) << 30, "NVIDIA", "550.54.14"},
    {"AMD Radeon 780M", 0x1002, INTEGRATED, 0, UINT64_C(8) << 30, "radv", "Mesa 24.1.0"},
    {"fakepipe (LLVM 15)", 0x10005, PLAYED, 0, UINT64_C(2) << 30, "llvmpipe", "Mesa 24.1.0"},
};
enum { N_GPUS = sizeof gpus / sizeof gpus[0] };

static int behave(void) {
    const char *how = getenv("FAKE_DRIVER"), *mark = getenv("FAKE_DRIVER_MARK");
    if (how == NULL) return SUCCESS;
    if (strcmp(how, "crash") == 0) {
        fputs("the driver is about to crash\n", stderr);
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    if (strcmp(how, "hang") == 0) {
        FILE *file = mark == NULL ? NULL : fopen(mark, "w");
        if (file != NULL) {
            fprintf(file, "%ld", (long)getpid());
            fclose(file);
        }
        for (;;) pause();
    }
    if (strcmp(how, "exit") == 0) exit(7);
    if (strcmp(how, "chatter") == 0) {
        printf("{\"devices\": []}\n");
        fflush(stdout);
        fputs("a warning of the driver\n", stderr);
    }
    return strcmp(how, "refuse") == 0 ? ERROR_INCOMPATIBLE_DRIVER : SUCCESS;
}

int vkCreateInstance(const void *info, const void *allocator, void **instance) {
    (void)info;
    (void)allocator;
    *instance = gpus;
    return behave();
}

void vkDestroyInstance(void *instance, const void *allocator) {
    (void)instance;
    (void)allocator;
}

int vkEnumeratePhysicalDevices(void *instance, uint32_t *count, void **devices) {
    (void)instance;
    for (uint32_t i = 0; devices != NULL && i < *count && i < N_GPUS; i++) devices[i] = &gpus[i];
    *count = N_GPUS;
    return SUCCESS;
}

int vkEnumerateDeviceExtensionProperties(const gpu *device, const char *layer, uint32_t *count, extension *extensions) {
    static const char *const names[] = {"VK_KHR_16bit_storage", "VK_EXT_pci_bus_info", "VK_EXT_memory_budget"};
    uint32_t n = device->bus == 0 ? 1 : 3;
    (void)layer;
    for (uint32_t i = 0; extensions != NULL && i < *count && i < n; i++) {
        strcpy(extensions[i].name, names[i]);
        extensions[i].version = 1;
    }
    *count = n;
    return SUCCESS;
}

void vkGetPhysicalDeviceProperties2(const gpu *device, properties_2 *given) {
    for (chain *link = &given->head; link != NULL; link = link->next) {
        if (link->type == TYPE_PROPERTIES_2) {
            properties_2 *properties = (properties_2 *)link;
            properties->api_version = UINT32_C(1) << 22 | UINT32_C(3) << 12 | 255;
            properties->vendor = device->vendor;
            properties->kind = device->kind;
            strcpy(properties->name, device->name);
        } else if (link->type == TYPE_DRIVER_PROPERTIES) {
            driver_properties *driver = (driver_properties *)link;
            strcpy(driver->name, device->driver);
            strcpy(driver->info, device->version);
        } else if (link->type == TYPE_PCI_BUS_INFO) {
            pci_bus_info *place = (pci_bus_info *)link;
            place->domain = place->device = place->function = 0;
            place->bus = device->bus;
        }
    }
}

void vkGetPhysicalDeviceMemoryProperties2(const gpu *device, memory_properties_2 *given) {
    for (chain *link = &given->head; link != NULL; link = link->next) {
        if (link->type == TYPE_MEMORY_PROPERTIES_2) {
            memory_properties_2 *memory = (memory_properties_2 *)link;
            memory->heap_count = 2;
            memory->heaps[0].size = device->memory;
            memory->heaps[0].flags = 1;
            memory->heaps[1].size = UINT64_C(64) << 30; /* the machine's own */
            memory->heaps[1].flags = 0;
        } else if (link->type == TYPE_MEMORY_BUDGET) {
            memory_budget *budget = (memory_budget *)link;
            budget->budget[0] = device->memory;
            budget->usage[0] = UINT64_C(1) << 30;
        }
    }
}

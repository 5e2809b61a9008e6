/*
 * The four functions that ggml's Vulkan backend takes from the Vulkan loader
 * by name; the others it asks the loader for. Here they open the loader when
 * they are first called, so that a library can be built without one and needs
 * none in order to be loaded. `VisibleVulkanDevices` has seen to it before
 * that there is one.
 */
#include <vulkan/vulkan.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

static PFN_vkVoidFunction find(const char *name) {
#if defined(_WIN32)
    HMODULE loader = LoadLibraryW(L"vulkan-1.dll");
    return loader == NULL ? NULL : (PFN_vkVoidFunction)(void *)GetProcAddress(loader, name);
#else
    /* Never closed: one more handle of the same library each time would be no harm either. */
    void *loader = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    return loader == NULL ? NULL : (PFN_vkVoidFunction)dlsym(loader, name);
#endif
}

/* Two threads that look at the same time find the same. */
#define FOUND(name)                                                                                                    \
    static PFN_##name volatile function;                                                                               \
    if (function == NULL) function = (PFN_##name)find(#name)

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name) {
    FOUND(vkGetInstanceProcAddr);
    return function == NULL ? NULL : function(instance, name);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetDeviceProcAddr(VkDevice device, const char *name) {
    FOUND(vkGetDeviceProcAddr);
    return function(device, name);
}

VKAPI_ATTR void VKAPI_CALL vkGetPhysicalDeviceFeatures2(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *features) {
    FOUND(vkGetPhysicalDeviceFeatures2);
    function(device, features);
}

VKAPI_ATTR void VKAPI_CALL vkCmdCopyBuffer(VkCommandBuffer buffer, VkBuffer from, VkBuffer to, uint32_t n_regions,
                                           const VkBufferCopy *regions) {
    FOUND(vkCmdCopyBuffer);
    function(buffer, from, to, n_regions, regions);
}

#include "engine/vulkan_devices.h"

#include "base/guard.h"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>
#include <vector>

#if !defined(_WIN32)
#include <dlfcn.h>
#else
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

namespace gpt4all {
namespace {

constexpr const char *VISIBLE = "GGML_VK_VISIBLE_DEVICES";
constexpr const char *ALLOW_SOFTWARE = "GPT4ALL_ALLOW_SOFTWARE_GPU";

// Names of the software devices that ggml was let see.
std::set<std::string> software_names;

struct PhysicalDevice {
    std::string name;
    VkPhysicalDeviceType type;
};

#if defined(_WIN32)

PFN_vkGetInstanceProcAddr find_entry_point() {
    HMODULE library = LoadLibraryW(L"vulkan-1.dll");
    if (library == nullptr) {
        throw Error(GPT4ALL_ERROR_INTERNAL, "vulkan-1.dll: error " + std::to_string(GetLastError()));
    }
    return reinterpret_cast<PFN_vkGetInstanceProcAddr>(GetProcAddress(library, "vkGetInstanceProcAddr"));
}

void set_variable(const char *name, const char *value) { _putenv_s(name, value == nullptr ? "" : value); }

#else

// Never closed: ggml uses the same one.
PFN_vkGetInstanceProcAddr find_entry_point() {
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw Error(GPT4ALL_ERROR_INTERNAL, dlerror());
    return reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
}

void set_variable(const char *name, const char *value) {
    if (value == nullptr) {
        unsetenv(name);
    } else {
        setenv(name, value, 1);
    }
}

#endif

// A Vulkan instance, as little of one as listing devices takes.
class Instance {
public:
    Instance() : get_(find_entry_point()) {
        if (get_ == nullptr) return;
        VkApplicationInfo application = {};
        application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
        application.apiVersion = VK_API_VERSION_1_2;
        VkInstanceCreateInfo create = {};
        create.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
        create.pApplicationInfo = &application;
        const auto make = function<PFN_vkCreateInstance>("vkCreateInstance");
        if (make == nullptr || make(&create, nullptr, &instance_) != VK_SUCCESS) instance_ = VK_NULL_HANDLE;
    }
    ~Instance() {
        if (instance_ != VK_NULL_HANDLE) function<PFN_vkDestroyInstance>("vkDestroyInstance")(instance_, nullptr);
    }
    Instance(const Instance &) = delete;
    Instance &operator=(const Instance &) = delete;

    // In the order whose numbers GGML_VK_VISIBLE_DEVICES has; none without a driver.
    std::vector<PhysicalDevice> devices() const {
        if (instance_ == VK_NULL_HANDLE) return {};
        const auto list = function<PFN_vkEnumeratePhysicalDevices>("vkEnumeratePhysicalDevices");
        const auto describe = function<PFN_vkGetPhysicalDeviceProperties>("vkGetPhysicalDeviceProperties");
        uint32_t n = 0;
        if (list(instance_, &n, nullptr) != VK_SUCCESS) return {};
        std::vector<VkPhysicalDevice> handles(n);
        if (list(instance_, &n, handles.data()) != VK_SUCCESS) return {};
        std::vector<PhysicalDevice> devices;
        for (VkPhysicalDevice handle : handles) {
            VkPhysicalDeviceProperties properties = {};
            describe(handle, &properties);
            devices.push_back({properties.deviceName, properties.deviceType});
        }
        return devices;
    }

private:
    template <class Function> Function function(const char *name) const {
        return reinterpret_cast<Function>(get_(instance_, name));
    }

    PFN_vkGetInstanceProcAddr get_;
    VkInstance instance_ = VK_NULL_HANDLE;
};

// Reads the variable as ggml does, and refuses what ggml would give up at.
std::vector<std::size_t> read_indices(std::string text, std::size_t n_devices) {
    std::replace(text.begin(), text.end(), ',', ' ');
    std::istringstream words(text);
    std::vector<std::size_t> indices;
    for (std::size_t index = 0; words >> index;) {
        if (index >= n_devices) {
            throw Error(GPT4ALL_ERROR_INTERNAL, std::string(VISIBLE) + " names Vulkan device " + std::to_string(index) +
                                                    ", but there are " + std::to_string(n_devices));
        }
        indices.push_back(index);
    }
    return indices;
}

// Without the variable, the kinds that ggml itself lists; with it, whatever is
// named. A software device needs to be allowed either way.
bool may_be_listed(VkPhysicalDeviceType type, bool named, bool allow_software) {
    if (type == VK_PHYSICAL_DEVICE_TYPE_CPU) return allow_software;
    return named || type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU || type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
}

} // namespace

VisibleVulkanDevices::VisibleVulkanDevices() {
    const char *software = std::getenv(ALLOW_SOFTWARE);
    const char *named = std::getenv(VISIBLE);
    const bool allow_software = software != nullptr && std::string(software) == "1";
    find_entry_point();
    if (!allow_software && named == nullptr) return;
    const std::vector<PhysicalDevice> devices = Instance().devices();
    std::vector<std::size_t> wanted;
    if (named != nullptr) {
        before_ = named;
        was_set_ = true;
        wanted = read_indices(before_, devices.size());
    } else {
        for (std::size_t i = 0; i < devices.size(); i++) wanted.push_back(i);
    }
    std::string visible;
    for (std::size_t i : wanted) {
        if (!may_be_listed(devices[i].type, named != nullptr, allow_software)) continue;
        if (devices[i].type == VK_PHYSICAL_DEVICE_TYPE_CPU) software_names.insert(devices[i].name);
        visible += (visible.empty() ? "" : ",") + std::to_string(i);
    }
    // For none, a blank: on Windows an empty value is no value.
    set_variable(VISIBLE, visible.empty() ? " " : visible.c_str());
    changed_ = true;
}

VisibleVulkanDevices::~VisibleVulkanDevices() {
    if (changed_) set_variable(VISIBLE, was_set_ ? before_.c_str() : nullptr);
}

bool is_software_gpu(ggml_backend_dev_t device) {
    return software_names.count(ggml_backend_dev_description(device)) != 0;
}

} // namespace gpt4all

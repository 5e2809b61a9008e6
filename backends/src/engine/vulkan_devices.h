// Which Vulkan devices ggml may list: a software device, such as Mesa's
// llvmpipe, only where GPT4ALL_ALLOW_SOFTWARE_GPU=1 says so.
#pragma once

#include "ggml-backend.h"

#include <string>

namespace gpt4all {

#if defined(GPT4ALL_VULKAN)

// While it lives, GGML_VK_VISIBLE_DEVICES has what ggml may list. By itself
// ggml passes software devices over, so mostly there is nothing to do.
class VisibleVulkanDevices {
public:
    // Throws where there is no Vulkan loader, and where the variable names a device that does not exist.
    VisibleVulkanDevices();
    ~VisibleVulkanDevices();
    VisibleVulkanDevices(const VisibleVulkanDevices &) = delete;
    VisibleVulkanDevices &operator=(const VisibleVulkanDevices &) = delete;

private:
    bool changed_ = false;
    bool was_set_ = false;
    std::string before_;
};

bool is_software_gpu(ggml_backend_dev_t device);

#else

class VisibleVulkanDevices {
public:
    VisibleVulkanDevices() {}
    ~VisibleVulkanDevices() {}
};

inline bool is_software_gpu(ggml_backend_dev_t) { return false; }

#endif

} // namespace gpt4all

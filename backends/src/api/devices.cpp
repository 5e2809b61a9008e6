#include "base/structs.h"
#include "engine/start.h"
#include "engine/vulkan_devices.h"

#include "ggml-backend.h"

#include <string>

namespace gpt4all {
namespace {

int32_t type_of(ggml_backend_dev_t device) {
    if (is_software_gpu(device)) return GPT4ALL_DEVICE_SOFTWARE_GPU;
    switch (ggml_backend_dev_type(device)) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return GPT4ALL_DEVICE_CPU;
    case GGML_BACKEND_DEVICE_TYPE_GPU: return GPT4ALL_DEVICE_GPU;
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return GPT4ALL_DEVICE_INTEGRATED_GPU;
    default: return GPT4ALL_DEVICE_OTHER;
    }
}

} // namespace
} // namespace gpt4all

gpt4all_status gpt4all_device_count(int32_t *count) {
    return gpt4all::guarded([&] {
        gpt4all::require(count, "count");
        gpt4all::require_initialized();
        *count = static_cast<int32_t>(ggml_backend_dev_count());
    });
}

gpt4all_status gpt4all_device_get_info(int32_t index, gpt4all_device_info *info) {
    return gpt4all::guarded([&] {
        gpt4all::require(info, "info");
        gpt4all::require_initialized();
        if (index < 0 || index >= static_cast<int32_t>(ggml_backend_dev_count())) {
            gpt4all::invalid_argument("index " + std::to_string(index) + " names no device");
        }
        ggml_backend_dev_t device = ggml_backend_dev_get(static_cast<std::size_t>(index));
        std::size_t free_bytes = 0;
        std::size_t total_bytes = 0;
        ggml_backend_dev_memory(device, &free_bytes, &total_bytes);
        ggml_backend_dev_props properties = {};
        ggml_backend_dev_get_props(device, &properties);
        gpt4all_device_info filled = {};
        filled.type = gpt4all::type_of(device);
        filled.memory_total = static_cast<int64_t>(total_bytes);
        filled.memory_free = static_cast<int64_t>(free_bytes);
        filled.name = ggml_backend_dev_name(device);
        filled.description = ggml_backend_dev_description(device);
        filled.id = properties.device_id == nullptr ? "" : properties.device_id;
        filled.api = ggml_backend_reg_name(ggml_backend_dev_backend_reg(device));
        gpt4all::write_result(info, filled, "info");
    });
}

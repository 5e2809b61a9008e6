#include "engine/placement.h"

#include "llama-model.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

namespace gpt4all {
namespace {

std::vector<ggml_backend_dev_t> list_gpus() {
    std::vector<ggml_backend_dev_t> gpus;
    for (std::size_t i = 0; i < ggml_backend_dev_count(); i++) {
        if (is_gpu(ggml_backend_dev_get(i))) gpus.push_back(ggml_backend_dev_get(i));
    }
    return gpus;
}

// ggml's Vulkan backend sets a device up at its first use without a lock, so
// two models that are loaded side by side must not both be the first.
void set_up(ggml_backend_dev_t device) {
    static std::mutex mutex;
    static std::set<ggml_backend_dev_t> ready;
    std::lock_guard lock(mutex);
    if (ready.count(device) != 0) return;
    ggml_backend_t backend = ggml_backend_dev_init(device, nullptr);
    if (backend == nullptr) {
        throw Error(GPT4ALL_ERROR_INTERNAL, std::string("the driver could not start ") + ggml_backend_dev_name(device) +
                                                " (" + ggml_backend_dev_description(device) + ")");
    }
    ggml_backend_free(backend);
    ready.insert(device);
}

// The device of each layer, and of the output at the end.
std::vector<ggml_backend_dev_t> layer_devices(const llama_model *weights) {
    std::vector<ggml_backend_dev_t> devices;
    for (int32_t layer = 0; layer < llama_model_n_layer(weights); layer++) devices.push_back(weights->dev_layer(layer));
    devices.push_back(weights->dev_output());
    return devices;
}

void check_shares(const gpt4all_load_options &options, std::size_t n_gpus) {
    float sum = 0;
    for (int64_t i = 0; i < options.n_tensor_split; i++) sum += options.tensor_split[i];
    if (static_cast<std::size_t>(options.n_tensor_split) > n_gpus) {
        invalid_argument("tensor_split has " + std::to_string(options.n_tensor_split) + " shares, but there are " +
                         std::to_string(n_gpus) + " GPUs");
    }
    if (!(sum > 0) || !std::isfinite(sum)) invalid_argument("tensor_split needs a share that is more than 0");
    if (static_cast<std::size_t>(options.main_gpu) >= n_gpus) {
        invalid_argument("main_gpu " + std::to_string(options.main_gpu) + " names none of " + std::to_string(n_gpus) +
                         " GPUs");
    }
}

} // namespace

bool is_gpu(ggml_backend_dev_t device) {
    const auto type = ggml_backend_dev_type(device);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

int32_t device_index(ggml_backend_dev_t device) {
    for (std::size_t i = 0; i < ggml_backend_dev_count(); i++) {
        if (ggml_backend_dev_get(i) == device) return static_cast<int32_t>(i);
    }
    return -1;
}

Placement::Placement(const gpt4all_load_options &options) : shares_(llama_max_devices(), 0.0f) {
    ggml_backend_dev_t device =
        options.device < 0 ? nullptr : ggml_backend_dev_get(static_cast<std::size_t>(options.device));
    if (device != nullptr && is_gpu(device) && options.n_gpu_layers > 0) {
        if (options.n_tensor_split > 0) {
            split(options);
        } else {
            add(device, 1.0f);
        }
    }
    list_ = devices_;
    list_.push_back(nullptr);
}

void Placement::add(ggml_backend_dev_t device, float share) {
    set_up(device);
    shares_[devices_.size()] = share;
    devices_.push_back(device);
}

// The engine gives each device a stretch of neighbouring layers, in this
// order, and the last one the output: so the main GPU comes last.
void Placement::split(const gpt4all_load_options &options) {
    const std::vector<ggml_backend_dev_t> gpus = list_gpus();
    check_shares(options, gpus.size());
    const auto main = static_cast<std::size_t>(options.main_gpu);
    const auto n = static_cast<std::size_t>(options.n_tensor_split);
    for (std::size_t i = 0; i < n; i++) {
        if (i != main && options.tensor_split[i] > 0) add(gpus[i], options.tensor_split[i]);
    }
    if (main < n && options.tensor_split[main] > 0) add(gpus[main], options.tensor_split[main]);
}

llama_model_params Placement::model_params(const gpt4all_load_options &options) const {
    llama_model_params params = llama_model_default_params();
    // An empty list, unlike none, keeps the engine from choosing GPUs by itself.
    params.devices = const_cast<ggml_backend_dev_t *>(list_.data());
    params.n_gpu_layers = devices_.empty() ? 0 : options.n_gpu_layers;
    params.tensor_split = shares_.data();
    params.load_mode = options.use_mmap != 0 ? LLAMA_LOAD_MODE_AUTO : LLAMA_LOAD_MODE_NONE;
    return params;
}

int32_t layers_on(const llama_model *weights, ggml_backend_dev_t device) {
    const auto devices = layer_devices(weights);
    return static_cast<int32_t>(std::count(devices.begin(), devices.end(), device));
}

int32_t layers_on_gpus(const llama_model *weights) {
    const auto devices = layer_devices(weights);
    return static_cast<int32_t>(std::count_if(devices.begin(), devices.end(), is_gpu));
}

ggml_backend_dev_t output_gpu(const llama_model *weights) {
    const auto devices = layer_devices(weights);
    if (is_gpu(devices.back())) return devices.back();
    const auto first = std::find_if(devices.begin(), devices.end(), is_gpu);
    return first == devices.end() ? nullptr : *first;
}

} // namespace gpt4all

// Where a model's layers go: the load options for GPUs as the engine wants them.
#pragma once

#include "base/guard.h"

#include "ggml-backend.h"
#include "llama.h"

#include <vector>

namespace gpt4all {

// Whether a device computes apart from the processor.
bool is_gpu(ggml_backend_dev_t device);

// Index for gpt4all_device_get_info, -1 for NULL.
int32_t device_index(ggml_backend_dev_t device);

// The devices that get layers. Owns what the engine's parameters point to.
class Placement {
public:
    // Throws where the options name devices or shares that cannot be.
    explicit Placement(const gpt4all_load_options &options);

    llama_model_params model_params(const gpt4all_load_options &options) const;

    const std::vector<ggml_backend_dev_t> &devices() const { return devices_; }

private:
    void add(ggml_backend_dev_t device, float share);
    void split(const gpt4all_load_options &options);

    std::vector<ggml_backend_dev_t> devices_;
    std::vector<ggml_backend_dev_t> list_; // the same, ended by NULL
    std::vector<float> shares_;            // llama_max_devices() of them
};

// How many of a model's layers are on `device`, the output counting as one.
int32_t layers_on(const llama_model *weights, ggml_backend_dev_t device);

int32_t layers_on_gpus(const llama_model *weights);

// The GPU with the output, else the first that holds a layer, else NULL.
ggml_backend_dev_t output_gpu(const llama_model *weights);

} // namespace gpt4all

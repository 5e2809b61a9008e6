// What a model takes of the memory of each device.
#pragma once

#include "engine/owned.h"
#include "engine/placement.h"

#include <cstdint>
#include <vector>

namespace gpt4all {

// What weights, context and work buffers take on GPUs.
int64_t bytes_on_gpus(const llama_context *context);

// Main memory first, then each GPU that holds layers.
using MemoryNeeds = std::vector<gpt4all_memory_need>;

// A model without the memory of its weights.
class UnallocatedModel {
public:
    UnallocatedModel(const char *path, const gpt4all_load_options &options);

    const llama_model *weights() const { return weights_.get(); }

    // With a context made so.
    MemoryNeeds needs(const llama_context_params &params) const;

private:
    const Placement placement_;
    const bool mapped_;
    Weights weights_;
};

} // namespace gpt4all

// What a model takes of the memory of each device.
#pragma once

#include "base/guard.h"

#include "llama.h"

namespace gpt4all {

// What weights, context and work buffers take on GPUs.
int64_t bytes_on_gpus(const llama_context *context);

// Throws GPT4ALL_ERROR_OUT_OF_MEMORY where what those options ask for would
// not fit now. For a load that has failed: the engine does not tell why.
void check_memory(const char *path, const gpt4all_load_options &options);

} // namespace gpt4all

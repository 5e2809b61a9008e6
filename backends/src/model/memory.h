// What a load would take, before or after it was tried.
#pragma once

#include "engine/memory_need.h"

namespace gpt4all {

// Without allocating it.
MemoryNeeds measure_memory(const char *path, const gpt4all_load_options &options);

// Throws GPT4ALL_ERROR_OUT_OF_MEMORY where what those options ask for would
// not fit now. For a load that has failed: the engine does not tell why.
void check_memory(const char *path, const gpt4all_load_options &options);

} // namespace gpt4all

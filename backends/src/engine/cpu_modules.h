// ggml's loadable parts: they lie in the library's own directory, and nowhere else.
#pragma once

#include <string>

namespace gpt4all {

// Loads the best CPU module, and before it the GPU module where this backend
// has one. A driver without devices is no failure. Returns what the CPU module
// is called: "haswell" for libggml-cpu-haswell.so.
std::string load_modules();

} // namespace gpt4all

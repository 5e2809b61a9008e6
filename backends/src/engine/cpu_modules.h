// ggml's loadable parts: they lie in the library's own directory, and nowhere else.
#pragma once

namespace gpt4all {

// Loads the best CPU module, and before it the GPU module where this backend
// has one. A driver without devices is no failure.
void load_modules();

} // namespace gpt4all

#include "api/handle.h"

#include "base/guard.h"

namespace gpt4all {

Claim::Claim(gpt4all_model &handle) : handle_(handle) {
    if (handle.busy.test_and_set(std::memory_order_acquire)) {
        throw Error(GPT4ALL_ERROR_BUSY, "another call is using this model");
    }
    if (handle.is_broken()) {
        handle.busy.clear(std::memory_order_release);
        refuse_broken();
    }
}

Claim::~Claim() { handle_.busy.clear(std::memory_order_release); }

} // namespace gpt4all

gpt4all_model::gpt4all_model(const char *path, const gpt4all_load_options &options)
    : model(path, options), scheduler(model, static_cast<std::size_t>(options.prefix_cache_bytes)) {}

gpt4all_model::~gpt4all_model() {
    if (is_broken()) model.abandon();
}

#include "engine/memory_need.h"

#include "base/log.h"
#include "embed/embedder.h"
#include "engine/placement.h"
#include "engine/start.h"
#include "model/model.h"

#include "ggml-backend.h"
#include "llama-ext.h"

#include <algorithm>
#include <string>
#include <vector>

namespace gpt4all {
namespace {

// The GPU that a buffer type belongs to, NULL for one in main memory.
ggml_backend_dev_t gpu_of(ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    return device != nullptr && is_gpu(device) && !ggml_backend_buft_is_host(type) ? device : nullptr;
}

void add_memory_of(ggml_backend_dev_t device, gpt4all_memory_need &need) {
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    if (device != nullptr) ggml_backend_dev_memory(device, &free_bytes, &total_bytes);
    need.memory_free = static_cast<int64_t>(free_bytes);
    need.memory_total = static_cast<int64_t>(total_bytes);
}

gpt4all_memory_need need_on(const llama_context *context, ggml_backend_dev_t gpu, int32_t n_layers, bool mapped) {
    gpt4all_memory_need need = {};
    need.device = gpu == nullptr ? -1 : device_index(gpu);
    need.n_layers = n_layers;
    for (const auto &[type, bytes] : llama_get_memory_breakdown(context)) {
        if (gpu_of(type) != gpu) continue;
        // The pages of a mapped file can be dropped again; what is repacked for the processor cannot.
        if (!mapped || type != ggml_backend_cpu_buffer_type()) need.weights += static_cast<int64_t>(bytes.model);
        need.context += static_cast<int64_t>(bytes.context);
        need.compute += static_cast<int64_t>(bytes.compute);
    }
    add_memory_of(gpu == nullptr ? ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) : gpu, need);
    return need;
}

// A context's bookkeeping takes some 50 bytes of main memory a token, also where
// its cache is not allocated: longer ones are reckoned, not made.
constexpr int32_t LONGEST_MADE = 1 << 20;

using Needs = std::vector<gpt4all_memory_need>;

// A model without the memory of its weights.
class Measure {
public:
    Measure(const char *path, const gpt4all_load_options &options) : options_(options), placement_(options) {
        llama_model_params params = placement_.model_params(options);
        params.no_alloc = true;
        params.load_mode = LLAMA_LOAD_MODE_NONE;
        ErrorCapture errors;
        weights_.reset(llama_model_load_from_file(path, params));
        errors.check_model();
        if (weights_ == nullptr) throw Error(GPT4ALL_ERROR_MODEL_LOAD, errors.text("the engine gave no reason"));
    }

    Needs needs() const {
        if (pools(weights_.get())) {
            const EmbedSettings settings = embed_settings(options_, weights_.get());
            return needs_of(embed_context_params(settings, usual_batch(settings)));
        }
        const int32_t n_ctx = context_size(options_, weights_.get());
        if (n_ctx <= LONGEST_MADE) return needs_of(context_params(options_, n_ctx));
        Needs needs = needs_of(context_params(options_, LONGEST_MADE));
        const Needs half = needs_of(context_params(options_, LONGEST_MADE / 2));
        const double steps = static_cast<double>(n_ctx - LONGEST_MADE) / (LONGEST_MADE / 2);
        for (std::size_t i = 0; i < needs.size(); i++) {
            needs[i].context += static_cast<int64_t>(steps * static_cast<double>(needs[i].context - half[i].context));
            needs[i].compute += static_cast<int64_t>(steps * static_cast<double>(needs[i].compute - half[i].compute));
        }
        return needs;
    }

private:
    Needs needs_of(const llama_context_params &params) const {
        ErrorCapture errors;
        std::unique_ptr<llama_context, FreeContext> context(llama_init_from_model(weights_.get(), params));
        errors.check_model();
        if (context == nullptr) throw Error(GPT4ALL_ERROR_MODEL_LOAD, errors.text("the engine gave no reason"));
        Needs needs(1);
        int32_t n_left = llama_model_n_layer(weights_.get()) + 1;
        for (ggml_backend_dev_t gpu : placement_.devices()) {
            const int32_t n_layers = layers_on(weights_.get(), gpu);
            needs.push_back(need_on(context.get(), gpu, n_layers, false));
            n_left -= n_layers;
        }
        needs[0] = need_on(context.get(), nullptr, n_left, options_.use_mmap != 0);
        return needs;
    }

    const gpt4all_load_options &options_;
    const Placement placement_;
    std::unique_ptr<llama_model, FreeWeights> weights_;
};

Needs measure(const char *path, const gpt4all_load_options &options) {
    // What is said here will be said again by the load.
    MuteLog mute;
    return Measure(path, options).needs();
}

} // namespace

int64_t bytes_on_gpus(const llama_context *context) {
    std::size_t sum = 0;
    for (const auto &[type, bytes] : llama_get_memory_breakdown(context)) {
        if (gpu_of(type) != nullptr) sum += bytes.total();
    }
    return static_cast<int64_t>(sum);
}

void check_memory(const char *path, const gpt4all_load_options &options) {
    for (const gpt4all_memory_need &need : measure(path, options)) {
        const int64_t needed = need.weights + need.context + need.compute;
        if (need.device < 0 || need.memory_total == 0 || needed <= need.memory_free) continue;
        throw Error(GPT4ALL_ERROR_OUT_OF_MEMORY, std::string(ggml_backend_dev_description(
                                                     ggml_backend_dev_get(static_cast<std::size_t>(need.device)))) +
                                                     " has " + std::to_string(need.memory_free) + " bytes free, but " +
                                                     std::to_string(needed) + " are needed");
    }
}

} // namespace gpt4all

gpt4all_status gpt4all_model_memory(const char *path, const gpt4all_load_options *options, gpt4all_memory_need *needs,
                                    int32_t capacity, int32_t *count) {
    return gpt4all::guarded([&] {
        using namespace gpt4all;
        require(path, "path");
        require(count, "count");
        if (capacity < 0) invalid_argument("capacity must not be negative");
        if (capacity > 0) require(needs, "needs");
        const Needs measured = measure(path, checked_load_options(options));
        *count = static_cast<int32_t>(measured.size());
        std::copy_n(measured.begin(), std::min(capacity, *count), needs);
        if (*count > capacity) {
            throw Error(GPT4ALL_ERROR_BUFFER_TOO_SMALL, "needs must hold " + std::to_string(*count));
        }
    });
}

#include "engine/memory_need.h"

#include "base/log.h"

#include "ggml-backend.h"
#include "llama-ext.h"

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

// What decoding writes to, in main memory: the logits of a token of each
// sequence, or, where there is an encoder, of all that it reads at once, with
// their vectors. The engine's own breakdown leaves it out.
int64_t output_bytes(const llama_context *context, const llama_model *weights) {
    const int64_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(weights));
    const bool encodes = llama_model_has_encoder(weights);
    const int64_t n_rows = encodes ? llama_n_batch(context) : llama_n_seq_max(context);
    const int64_t width = n_vocab + (encodes ? llama_model_n_embd_out(weights) : 0);
    return n_rows * width * static_cast<int64_t>(sizeof(float));
}

} // namespace

UnallocatedModel::UnallocatedModel(const char *path, const gpt4all_load_options &options)
    : placement_(options), mapped_(options.use_mmap != 0) {
    llama_model_params params = placement_.model_params(options);
    params.no_alloc = true;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
    ErrorCapture errors;
    weights_.reset(llama_model_load_from_file(path, params));
    errors.check_model();
    if (weights_ == nullptr) throw Error(GPT4ALL_ERROR_MODEL_LOAD, errors.text("the engine gave no reason"));
}

MemoryNeeds UnallocatedModel::needs(const llama_context_params &params) const {
    ErrorCapture errors;
    const Context context(llama_init_from_model(weights_.get(), params));
    errors.check_model();
    if (context == nullptr) throw Error(GPT4ALL_ERROR_MODEL_LOAD, errors.text("the engine gave no reason"));
    MemoryNeeds needs(1);
    int32_t n_left = llama_model_n_layer(weights_.get()) + 1;
    for (ggml_backend_dev_t gpu : placement_.devices()) {
        const int32_t n_layers = layers_on(weights_.get(), gpu);
        needs.push_back(need_on(context.get(), gpu, n_layers, false));
        n_left -= n_layers;
    }
    needs[0] = need_on(context.get(), nullptr, n_left, mapped_);
    // An embedder's rows depend on its texts, and our own encoder has none.
    if (!params.embeddings) needs[0].compute += output_bytes(context.get(), weights_.get());
    return needs;
}

int64_t bytes_on_gpus(const llama_context *context) {
    std::size_t sum = 0;
    for (const auto &[type, bytes] : llama_get_memory_breakdown(context)) {
        if (gpu_of(type) != nullptr) sum += bytes.total();
    }
    return static_cast<int64_t>(sum);
}

} // namespace gpt4all

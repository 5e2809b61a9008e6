#include "embed/lane.h"

#include "base/guard.h"
#include "base/log.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace gpt4all {
namespace {

int32_t round_capacity(int32_t n_tokens, int32_t max_tokens) {
    int32_t capacity = MIN_CAPACITY;
    while (capacity < n_tokens) capacity *= 2;
    // What one text may have is rounded no further: the buffers of long ones are large.
    return n_tokens <= max_tokens && capacity > max_tokens ? std::max(max_tokens, n_tokens) : capacity;
}

void copy_row(const float *from, float *to, int32_t n, bool normalize) {
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) sum += static_cast<double>(from[i]) * static_cast<double>(from[i]);
    if (!std::isfinite(sum)) {
        throw Error(GPT4ALL_ERROR_DECODE, "the model made a vector that holds something other than numbers");
    }
    const double scale = normalize && sum > 0.0 ? 1.0 / std::sqrt(sum) : 1.0;
    for (int32_t i = 0; i < n; i++) to[i] = static_cast<float>(static_cast<double>(from[i]) * scale);
}

} // namespace

llama_context_params embed_context_params(const EmbedSettings &settings, int32_t n_tokens) {
    const int32_t capacity = round_capacity(n_tokens, settings.max_tokens);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(capacity);
    // A non-causal model needs the whole batch at once; for a causal one, its
    // mean is only right where no text is split.
    params.n_batch = params.n_ubatch = static_cast<uint32_t>(capacity);
    params.kv_unified = true;
    // The engine keeps room for a vector of each, and fails where that is more than a batch has tokens.
    params.n_seq_max = static_cast<uint32_t>(std::min<int64_t>(MAX_BATCH_TEXTS, capacity));
    params.n_threads = params.n_threads_batch = 1;
    params.pooling_type = settings.pooling;
    params.embeddings = true;
    params.type_k = params.type_v = settings.kv_type;
    params.flash_attn_type = settings.flash_attention;
    params.no_perf = true;
    return params;
}

int32_t usual_batch(const EmbedSettings &settings) {
    return settings.offloaded ? GPU_BATCH : std::min(MAX_SIDE_BY_SIDE, settings.max_tokens);
}

void EmbedLane::fit(int32_t n_tokens) {
    if (encoder_ != nullptr || n_tokens <= capacity_) return;
    llama_context_params params = embed_context_params(settings_, n_tokens);
    const auto capacity = static_cast<int32_t>(params.n_ctx);
    params.abort_callback = stops_;
    params.abort_callback_data = stops_data_;
    // The old one first: both at once would be the peak of memory.
    context_.reset();
    capacity_ = 0;
    ErrorCapture errors;
    context_.reset(llama_init_from_model(weights_, params));
    errors.check_model();
    if (context_ == nullptr) {
        throw Error(GPT4ALL_ERROR_OUT_OF_MEMORY,
                    "no context for " + std::to_string(capacity) +
                        " tokens could be made: " + errors.text("the engine gave no reason"));
    }
    capacity_ = capacity;
}

void EmbedLane::use_threads(ggml_threadpool *pool, int32_t n_threads) {
    n_threads_ = static_cast<std::size_t>(n_threads);
    if (encoder_ != nullptr) return;
    llama_detach_threadpool(context_.get());
    if (pool != nullptr) llama_attach_threadpool(context_.get(), pool, nullptr);
    llama_set_n_threads(context_.get(), n_threads, n_threads);
}

void EmbedLane::fill(const EmbedBatch &batch, const EmbedTexts &texts) {
    tokens_.clear();
    for (std::size_t place = 0; place < batch.texts.size(); place++) {
        const std::size_t text = batch.texts[place];
        const int32_t *first = texts.tokens + texts.starts[text];
        for (llama_pos position = 0; position < texts.lengths[text]; position++) {
            tokens_.add(first[position], position, static_cast<llama_seq_id>(place), true);
        }
    }
}

bool EmbedLane::encode(const EmbedBatch &batch, const EmbedWork &work) {
    const auto width = static_cast<std::size_t>(encoder_->width());
    std::vector<int32_t> lengths;
    std::vector<float *> rows;
    std::vector<int32_t> tokens;
    for (const std::size_t text : batch.texts) {
        const int32_t *first = work.texts.tokens + work.texts.starts[text];
        tokens.insert(tokens.end(), first, first + work.texts.lengths[text]);
        lengths.push_back(work.texts.lengths[text]);
        rows.push_back(work.vectors + text * width);
    }
    const auto stopped = [this] { return stops_(stops_data_); };
    BertTeam team(n_threads_);
    const bool done =
        encoder_->embed(tokens.data(), lengths.data(), lengths.size(), rows.data(), scratch_, team, stopped);
    computing_ = team.finish();
    if (!done) return false;
    for (float *row : rows) copy_row(row, row, static_cast<int32_t>(width), work.normalize);
    return true;
}

bool EmbedLane::compute(const EmbedBatch &batch, const EmbedWork &work) {
    if (encoder_ != nullptr) return encode(batch, work);
    fill(batch, work.texts);
    const llama_batch input = tokens_.view();
    llama_memory_t memory = llama_get_memory(context_.get());
    if (memory != nullptr) llama_memory_clear(memory, false);
    // What failed is told by an error; what was stopped is no fault, though the engine logs it as one.
    const MuteLog mute;
    ErrorCapture errors;
    const int32_t status =
        memory == nullptr ? llama_encode(context_.get(), input) : llama_decode(context_.get(), input);
    if (status != 0) {
        if (stops_(stops_data_)) return false;
        throw Error(GPT4ALL_ERROR_DECODE, errors.text("the engine could not compute"));
    }
    write_rows(batch, work);
    return true;
}

void EmbedLane::write_rows(const EmbedBatch &batch, const EmbedWork &work) const {
    const int32_t width = llama_model_n_embd_out(weights_);
    for (std::size_t place = 0; place < batch.texts.size(); place++) {
        const float *row = llama_get_embeddings_seq(context_.get(), static_cast<llama_seq_id>(place));
        if (row == nullptr) throw Error(GPT4ALL_ERROR_DECODE, "the engine gave no vector for a text");
        copy_row(row, work.vectors + batch.texts[place] * static_cast<std::size_t>(width), width, work.normalize);
    }
}

} // namespace gpt4all

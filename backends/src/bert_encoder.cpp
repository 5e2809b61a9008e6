#include "bert_encoder.h"

#include "ggml-backend.h"
#include "ggml.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

// Of the engine, from llama-model.h: all tensors of a model by name.
const std::vector<std::pair<std::string, ggml_tensor *>> &llama_internal_get_tensor_map(const llama_model *model);

namespace gpt4all {
namespace {

// Weights in 32 bits stand beside the engine's own; those of larger models are
// better computed as they are.
constexpr std::size_t MAX_WEIGHT_BYTES = std::size_t{512} * 1024 * 1024;

std::string text_of(const llama_model *weights, const char *key) {
    char buffer[64] = "";
    return llama_model_meta_val_str(weights, key, buffer, sizeof buffer) < 0 ? "" : buffer;
}

// The model's tensors, each checked for its shape when it is taken.
class Tensors {
public:
    explicit Tensors(const llama_model *weights) {
        for (const auto &[name, tensor] : llama_internal_get_tensor_map(weights)) by_name_[name] = tensor;
    }

    // NULL, and complete() false, unless it has this shape and can be read here.
    const ggml_tensor *find(const std::string &name, int64_t depth, int64_t width) {
        const auto found = by_name_.find(name);
        const ggml_tensor *tensor = found == by_name_.end() ? nullptr : found->second;
        if (tensor == nullptr || tensor->ne[0] != depth || (width > 0 && tensor->ne[1] != width) ||
            tensor->buffer == nullptr || !ggml_backend_buffer_is_host(tensor->buffer) || !is_plain(tensor->type)) {
            complete_ = false;
            return nullptr;
        }
        return tensor;
    }

    std::vector<float> read(const std::string &name, int64_t depth, int64_t width = 1) {
        const ggml_tensor *tensor = find(name, depth, width);
        std::vector<float> values(static_cast<std::size_t>(depth * width));
        if (tensor == nullptr) return values;
        for (int64_t row = 0; row < width; row++) read_row(tensor, row, values.data() + row * depth);
        return values;
    }

    bool complete() const { return complete_; }

    static void read_row(const ggml_tensor *tensor, int64_t row, float *to) {
        const char *from = static_cast<const char *>(tensor->data) + row * static_cast<int64_t>(tensor->nb[1]);
        if (tensor->type == GGML_TYPE_F32) {
            std::copy_n(reinterpret_cast<const float *>(from), tensor->ne[0], to);
        } else {
            ggml_get_type_traits(tensor->type)->to_float(from, to, tensor->ne[0]);
        }
    }

private:
    // Quantised weights would grow by four and more.
    static bool is_plain(ggml_type type) {
        return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
    }

    std::map<std::string, const ggml_tensor *> by_name_;
    bool complete_ = true;
};

// Matrices side by side that read the same input, as one.
BertMatrix read_matrix(Tensors &tensors, const std::vector<std::string> &names, int64_t depth, int64_t width) {
    BertMatrix matrix;
    matrix.depth = depth;
    matrix.width = width * static_cast<int64_t>(names.size());
    matrix.panels.resize(static_cast<std::size_t>(matrix.depth * matrix.width));
    int64_t column = 0;
    for (const std::string &name : names) {
        const std::vector<float> values = tensors.read(name + ".weight", depth, width);
        const std::vector<float> bias = tensors.read(name + ".bias", width);
        matrix.bias.insert(matrix.bias.end(), bias.begin(), bias.end());
        for (int64_t row = 0; row < width; row++, column++) {
            float *panel = matrix.panels.data() + column / PANEL * PANEL * depth + column % PANEL;
            for (int64_t k = 0; k < depth; k++) panel[k * PANEL] = values[static_cast<std::size_t>(row * depth + k)];
        }
    }
    return matrix;
}

BertNorm read_norm(Tensors &tensors, const std::string &name, int64_t width) {
    return {tensors.read(name + ".weight", width), tensors.read(name + ".bias", width)};
}

BertLayer read_layer(Tensors &tensors, const std::string &prefix, int64_t width, int64_t inner) {
    BertLayer layer;
    layer.query_key_value =
        read_matrix(tensors, {prefix + "attn_q", prefix + "attn_k", prefix + "attn_v"}, width, width);
    layer.output = read_matrix(tensors, {prefix + "attn_output"}, width, width);
    layer.up = read_matrix(tensors, {prefix + "ffn_up"}, width, inner);
    layer.down = read_matrix(tensors, {prefix + "ffn_down"}, inner, width);
    layer.attention_norm = read_norm(tensors, prefix + "attn_output_norm", width);
    layer.output_norm = read_norm(tensors, prefix + "layer_output_norm", width);
    return layer;
}

float *room(std::vector<float> &values, int64_t n) {
    const auto size = static_cast<std::size_t>(n);
    if (values.size() < size) values.resize(size);
    return values.data();
}

} // namespace

std::unique_ptr<BertEncoder> BertEncoder::make(const llama_model *weights, enum llama_pooling_type pooling) {
    const BertKernels *kernels = find_bert_kernels();
    if (kernels == nullptr || text_of(weights, "general.architecture") != "bert") return nullptr;
    if (pooling != LLAMA_POOLING_TYPE_MEAN && pooling != LLAMA_POOLING_TYPE_CLS) return nullptr;
    const int64_t width = llama_model_n_embd(weights);
    const int64_t n_heads = llama_model_n_head(weights);
    const int64_t n_layers = llama_model_n_layer(weights);
    const int64_t inner = std::atoll(text_of(weights, "bert.feed_forward_length").c_str());
    // The engine gives it with six digits behind the point, as 0 where it is BERT's own 1e-12.
    const double epsilon = std::max(1e-12, std::atof(text_of(weights, "bert.attention.layer_norm_epsilon").c_str()));
    if (n_heads < 1 || inner < 1 || width % PANEL != 0 || inner % PANEL != 0) return nullptr;
    if (width % n_heads != 0 || width / n_heads % PANEL != 0) return nullptr;
    const std::size_t numbers = static_cast<std::size_t>(n_layers * (4 * width * width + 2 * width * inner));
    if (numbers * sizeof(float) > MAX_WEIGHT_BYTES) return nullptr;

    std::unique_ptr<BertEncoder> encoder(new BertEncoder);
    encoder->kernels_ = kernels;
    encoder->width_ = width;
    encoder->n_heads_ = n_heads;
    encoder->inner_ = inner;
    encoder->epsilon_ = static_cast<float>(epsilon);
    encoder->first_ = pooling == LLAMA_POOLING_TYPE_CLS;
    Tensors tensors(weights);
    encoder->words_ = tensors.find("token_embd.weight", width, llama_vocab_n_tokens(llama_model_get_vocab(weights)));
    encoder->positions_ = tensors.read("position_embd.weight", width, llama_model_n_ctx_train(weights));
    if (const ggml_tensor *types = tensors.find("token_types.weight", width, 0)) {
        encoder->type_.resize(static_cast<std::size_t>(width));
        Tensors::read_row(types, 0, encoder->type_.data());
    }
    encoder->norm_ = read_norm(tensors, "token_embd_norm", width);
    for (int64_t layer = 0; layer < n_layers && tensors.complete(); layer++) {
        encoder->layers_.push_back(read_layer(tensors, "blk." + std::to_string(layer) + ".", width, inner));
    }
    return tensors.complete() ? std::move(encoder) : nullptr;
}

void BertEncoder::embed_tokens(const int32_t *tokens, const int32_t *lengths, std::size_t n_texts,
                               float *hidden) const {
    for (std::size_t text = 0; text < n_texts; text++) {
        const float *position = positions_.data();
        for (int32_t i = 0; i < lengths[text]; i++, tokens++, hidden += width_, position += width_) {
            Tensors::read_row(words_, *tokens, hidden);
            for (int64_t k = 0; k < width_; k++) hidden[k] += type_[static_cast<std::size_t>(k)] + position[k];
        }
    }
}

void BertEncoder::multiply(const BertMatrix &matrix, const float *from, int64_t rows, float *to) const {
    for (int64_t column = 0; column < matrix.width; column += PANEL) {
        kernels_->multiply(from, matrix.depth, matrix.panels.data() + column * matrix.depth, PANEL, rows, matrix.depth,
                           matrix.bias.data() + column, to + column, matrix.width);
    }
}

// One text's tokens attend to one another. `qkv` has queries, keys and values side by side.
void BertEncoder::attend(const float *qkv, int64_t n_tokens, float *mixed, Scratch &scratch) const {
    const int64_t stride = 3 * width_;
    const int64_t size = width_ / n_heads_;
    const int64_t padded = (n_tokens + PANEL - 1) / PANEL * PANEL;
    float *keys = room(scratch.keys, padded * size);
    float *scores = room(scratch.scores, n_tokens * padded);
    const float scale = 1.0f / std::sqrt(static_cast<float>(size));
    std::fill_n(keys, padded * size, 0.0f);
    for (int64_t head = 0; head < n_heads_; head++) {
        const float *query = qkv + head * size;
        const float *key = query + width_;
        const float *value = key + width_;
        for (int64_t token = 0; token < n_tokens; token++) {
            float *panel = keys + token / PANEL * PANEL * size + token % PANEL;
            for (int64_t k = 0; k < size; k++) panel[k * PANEL] = key[token * stride + k];
        }
        for (int64_t column = 0; column < padded; column += PANEL) {
            kernels_->multiply(query, stride, keys + column * size, PANEL, n_tokens, size, nullptr, scores + column,
                               padded);
        }
        kernels_->softmax(scores, n_tokens, n_tokens, padded, scale);
        for (int64_t column = 0; column < size; column += PANEL) {
            kernels_->multiply(scores, padded, value + column, stride, n_tokens, n_tokens, nullptr,
                               mixed + head * size + column, width_);
        }
    }
}

void BertEncoder::pool(const float *hidden, int64_t n_tokens, float *vector) const {
    if (first_) {
        std::copy_n(hidden, width_, vector);
        return;
    }
    std::fill_n(vector, width_, 0.0f);
    for (int64_t token = 0; token < n_tokens; token++) {
        for (int64_t k = 0; k < width_; k++) vector[k] += hidden[token * width_ + k];
    }
    for (int64_t k = 0; k < width_; k++) vector[k] /= static_cast<float>(n_tokens);
}

bool BertEncoder::embed(const int32_t *tokens, const int32_t *lengths, std::size_t n_texts, float *const *rows,
                        Scratch &scratch, const std::function<bool()> &stopped) const {
    int64_t n_tokens = 0;
    for (std::size_t text = 0; text < n_texts; text++) n_tokens += lengths[text];
    float *hidden = room(scratch.hidden, n_tokens * width_);
    float *mixed = room(scratch.mixed, n_tokens * width_);
    float *wide = room(scratch.wide, n_tokens * std::max(3 * width_, inner_));
    embed_tokens(tokens, lengths, n_texts, hidden);
    kernels_->add_norm(hidden, nullptr, norm_.weight.data(), norm_.bias.data(), epsilon_, n_tokens, width_);
    for (const BertLayer &layer : layers_) {
        if (stopped()) return false;
        multiply(layer.query_key_value, hidden, n_tokens, wide);
        for (int64_t text = 0, at = 0; text < static_cast<int64_t>(n_texts); at += lengths[text++]) {
            attend(wide + at * 3 * width_, lengths[text], mixed + at * width_, scratch);
        }
        multiply(layer.output, mixed, n_tokens, wide);
        kernels_->add_norm(hidden, wide, layer.attention_norm.weight.data(), layer.attention_norm.bias.data(), epsilon_,
                           n_tokens, width_);
        multiply(layer.up, hidden, n_tokens, wide);
        kernels_->gelu(wide, n_tokens * inner_);
        multiply(layer.down, wide, n_tokens, mixed);
        kernels_->add_norm(hidden, mixed, layer.output_norm.weight.data(), layer.output_norm.bias.data(), epsilon_,
                           n_tokens, width_);
    }
    for (int64_t text = 0, at = 0; text < static_cast<int64_t>(n_texts); at += lengths[text++]) {
        pool(hidden + at * width_, lengths[text], rows[text]);
    }
    return true;
}

} // namespace gpt4all

#include "embed/bert/encoder.h"

#include "ggml-backend.h"
#include "ggml.h"
#include "llama-model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>

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
BertMatrix read_matrix(Tensors &tensors, const BertProducts &products, const std::vector<std::string> &names,
                       int64_t depth, int64_t width) {
    BertMatrix matrix;
    matrix.products = products;
    matrix.depth = depth;
    matrix.width = width * static_cast<int64_t>(names.size());
    const std::size_t panel_bytes = static_cast<std::size_t>(depth * PANEL) * products.operand_bytes;
    matrix.panels.resize(static_cast<std::size_t>(matrix.width / PANEL) * panel_bytes);
    std::byte *panel = matrix.panels.data();
    for (const std::string &name : names) {
        const std::vector<float> values = tensors.read(name + ".weight", depth, width);
        const std::vector<float> bias = tensors.read(name + ".bias", width);
        matrix.bias.insert(matrix.bias.end(), bias.begin(), bias.end());
        for (int64_t row = 0; row < width; row += PANEL, panel += panel_bytes) {
            products.pack(values.data() + row * depth, depth, panel);
        }
    }
    return matrix;
}

BertNorm read_norm(Tensors &tensors, const std::string &name, int64_t width) {
    return {tensors.read(name + ".weight", width), tensors.read(name + ".bias", width)};
}

// Keys and values are a sixth of the work, and rounding their operands would
// cost a vector more than a sixth of what rounding all of them does (measured
// on all-MiniLM-L6-v2).
BertLayer read_layer(Tensors &tensors, const BertKernels &kernels, const std::string &prefix, int64_t width,
                     int64_t inner) {
    BertLayer layer;
    layer.query = read_matrix(tensors, kernels.fast, {prefix + "attn_q"}, width, width);
    layer.key_value = read_matrix(tensors, kernels.exact, {prefix + "attn_k", prefix + "attn_v"}, width, width);
    layer.output = read_matrix(tensors, kernels.fast, {prefix + "attn_output"}, width, width);
    layer.up = read_matrix(tensors, kernels.fast, {prefix + "ffn_up"}, width, inner);
    layer.down = read_matrix(tensors, kernels.fast, {prefix + "ffn_down"}, inner, width);
    layer.attention_norm = read_norm(tensors, prefix + "attn_output_norm", width);
    layer.output_norm = read_norm(tensors, prefix + "layer_output_norm", width);
    return layer;
}

template <class Numbers> auto *room(Numbers &values, int64_t n) {
    const auto size = static_cast<std::size_t>(n);
    if (values.size() < size) values.resize(size);
    return values.data();
}

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Rows of one task: those that stay in a core's cache with their products.
constexpr int64_t MOST_ROWS = 192;
// The least at which the blocks of a product are full, and a multiple of them.
constexpr int64_t LEAST_ROWS = 12;

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
        encoder->layers_.push_back(read_layer(tensors, *kernels, "blk." + std::to_string(layer) + ".", width, inner));
    }
    return tensors.complete() ? std::move(encoder) : nullptr;
}

// One forward pass of some texts. Each step is cut into tasks that write apart
// from one another, for the members of the team.
class BertEncoder::Pass {
public:
    Pass(const BertEncoder &encoder, const int32_t *lengths, std::size_t n_texts, Scratch &scratch, BertTeam &team);

    void embed_tokens(const int32_t *tokens) const;
    void compute(const BertLayer &layer) const;
    void pool(float *const *rows) const;

private:
    template <class Then>
    void multiply(const BertMatrix &matrix, const void *operands, float *to, int64_t to_stride, const Then &then) const;
    void multiply(const BertMatrix &matrix, const void *operands, float *to, int64_t to_stride) const {
        multiply(matrix, operands, to, to_stride, [](int64_t, int64_t, int64_t) {});
    }
    void attend() const;
    void attend(std::size_t text, int64_t head, Scratch::Attention &own) const;
    void add_norm(const float *added, const BertNorm &norm) const;
    // Numbers that begin at `at` of a buffer. Nothing to do where operands are floats.
    void to_operands(const float *from, int64_t at, int64_t n, std::byte *operands) const {
        if (operands != nullptr) kernels_.fast.to_operands(from + at, n, operands + at * fast_bytes_);
    }
    const void *operands_of(const float *values, const std::byte *operands) const {
        if (operands != nullptr) return operands;
        return values;
    }

    const BertEncoder &encoder_;
    const BertKernels &kernels_;
    const int64_t width_;
    const int64_t fast_bytes_;
    BertTeam &team_;
    Scratch &scratch_;
    const int32_t *lengths_;
    std::vector<int64_t> starts_;
    int64_t n_tokens_ = 0;
    int64_t rows_at_once_;
    float *hidden_;
    float *mixed_;
    float *wide_;
    // NULL where operands are floats.
    std::byte *hidden_operands_ = nullptr;
    std::byte *other_operands_ = nullptr; // of `mixed`, then of `wide`
};

BertEncoder::Pass::Pass(const BertEncoder &encoder, const int32_t *lengths, std::size_t n_texts, Scratch &scratch,
                        BertTeam &team)
    : encoder_(encoder), kernels_(*encoder.kernels_), width_(encoder.width_),
      fast_bytes_(static_cast<int64_t>(kernels_.fast.operand_bytes)), team_(team), scratch_(scratch),
      lengths_(lengths) {
    int64_t longest = 0;
    for (std::size_t text = 0; text < n_texts; text++) {
        starts_.push_back(n_tokens_);
        n_tokens_ += lengths[text];
        longest = std::max<int64_t>(longest, lengths[text]);
    }
    const int64_t inner = encoder.inner_;
    hidden_ = room(scratch.hidden, n_tokens_ * width_);
    mixed_ = room(scratch.mixed, n_tokens_ * width_);
    wide_ = room(scratch.wide, n_tokens_ * std::max(3 * width_, inner));
    if (kernels_.fast.to_operands != nullptr) {
        hidden_operands_ = room(scratch.hidden_operands, n_tokens_ * width_ * fast_bytes_);
        other_operands_ = room(scratch.other_operands, n_tokens_ * std::max(width_, inner) * fast_bytes_);
    }
    // Here, because a task must not throw.
    if (scratch.attention.size() < team.size()) scratch.attention.resize(team.size());
    const int64_t padded = round_up(longest, PANEL);
    for (Scratch::Attention &own : scratch.attention) {
        (void)room(own.keys, padded * (width_ / encoder.n_heads_));
        (void)room(own.scores, longest * padded);
    }
    // Where the narrowest product has fewer panels than two for each member, its rows are divided as well.
    const int64_t n_parts = round_up(2 * static_cast<int64_t>(team.size()), width_ / PANEL) / (width_ / PANEL);
    rows_at_once_ = std::clamp(round_up((n_tokens_ + n_parts - 1) / n_parts, LEAST_ROWS), LEAST_ROWS, MOST_ROWS);
}

void BertEncoder::Pass::embed_tokens(const int32_t *tokens) const {
    float *hidden = hidden_;
    for (std::size_t text = 0; text < starts_.size(); text++) {
        const float *position = encoder_.positions_.data();
        for (int32_t i = 0; i < lengths_[text]; i++, tokens++, hidden += width_, position += width_) {
            Tensors::read_row(encoder_.words_, *tokens, hidden);
            for (int64_t k = 0; k < width_; k++) {
                hidden[k] += encoder_.type_[static_cast<std::size_t>(k)] + position[k];
            }
        }
    }
    add_norm(nullptr, encoder_.norm_);
}

// `then(row, rows, column)` is called with each block of the product when it is there.
template <class Then>
void BertEncoder::Pass::multiply(const BertMatrix &matrix, const void *operands, float *to, int64_t to_stride,
                                 const Then &then) const {
    const BertProducts &products = matrix.products;
    const auto *rows_of = static_cast<const std::byte *>(operands);
    const int64_t row_bytes = matrix.depth * static_cast<int64_t>(products.operand_bytes);
    const int64_t n_panels = matrix.width / PANEL;
    const int64_t n_parts = (n_tokens_ + rows_at_once_ - 1) / rows_at_once_;
    team_.run(n_parts * n_panels, [&](int64_t index, std::size_t) {
        const int64_t row = index / n_panels * rows_at_once_;
        const int64_t rows = std::min(rows_at_once_, n_tokens_ - row);
        const int64_t column = index % n_panels * PANEL;
        products.multiply(rows_of + row * row_bytes, matrix.depth, matrix.panels.data() + column * row_bytes, rows,
                          matrix.depth, matrix.bias.data() + column, to + row * to_stride + column, to_stride);
        then(row, rows, column);
    });
}

void BertEncoder::Pass::attend() const {
    const int64_t n_heads = encoder_.n_heads_;
    team_.run(static_cast<int64_t>(starts_.size()) * n_heads, [&](int64_t index, std::size_t member) {
        attend(static_cast<std::size_t>(index / n_heads), index % n_heads, scratch_.attention[member]);
    });
}

// One text's tokens attend to one another. `wide` has queries, keys and values side by side.
void BertEncoder::Pass::attend(std::size_t text, int64_t head, Scratch::Attention &own) const {
    const int64_t n_tokens = lengths_[text];
    const int64_t stride = 3 * width_;
    const int64_t size = width_ / encoder_.n_heads_;
    const int64_t padded = round_up(n_tokens, PANEL);
    float *keys = own.keys.data();
    float *scores = own.scores.data();
    const float *query = wide_ + starts_[text] * stride + head * size;
    const float *key = query + width_;
    const float *value = key + width_;
    std::fill_n(keys + (padded - PANEL) * size, PANEL * size, 0.0f);
    for (int64_t token = 0; token < n_tokens; token++) {
        float *panel = keys + token / PANEL * PANEL * size + token % PANEL;
        for (int64_t k = 0; k < size; k++) panel[k * PANEL] = key[token * stride + k];
    }
    for (int64_t column = 0; column < padded; column += PANEL) {
        kernels_.multiply(query, stride, keys + column * size, PANEL, n_tokens, size, scores + column, padded);
    }
    kernels_.softmax(scores, n_tokens, n_tokens, padded, 1.0f / std::sqrt(static_cast<float>(size)));
    const int64_t first = starts_[text] * width_ + head * size;
    for (int64_t column = 0; column < size; column += PANEL) {
        kernels_.multiply(scores, padded, value + column, stride, n_tokens, n_tokens, mixed_ + first + column, width_);
    }
    for (int64_t token = 0; token < n_tokens; token++) {
        to_operands(mixed_, first + token * width_, size, other_operands_);
    }
}

void BertEncoder::Pass::add_norm(const float *added, const BertNorm &norm) const {
    team_.run((n_tokens_ + LEAST_ROWS - 1) / LEAST_ROWS, [&](int64_t index, std::size_t) {
        const int64_t row = index * LEAST_ROWS;
        const int64_t rows = std::min(LEAST_ROWS, n_tokens_ - row);
        const int64_t at = row * width_;
        kernels_.add_norm(hidden_ + at, added == nullptr ? nullptr : added + at, norm.weight.data(), norm.bias.data(),
                          encoder_.epsilon_, rows, width_);
        to_operands(hidden_, at, rows * width_, hidden_operands_);
    });
}

void BertEncoder::Pass::compute(const BertLayer &layer) const {
    const void *hidden = operands_of(hidden_, hidden_operands_);
    multiply(layer.query, hidden, wide_, 3 * width_);
    multiply(layer.key_value, hidden_, wide_ + width_, 3 * width_);
    attend();
    multiply(layer.output, operands_of(mixed_, other_operands_), wide_, width_);
    add_norm(wide_, layer.attention_norm);
    const int64_t inner = encoder_.inner_;
    multiply(layer.up, hidden, wide_, inner, [&](int64_t row, int64_t rows, int64_t column) {
        for (int64_t at = row * inner + column; at < (row + rows) * inner; at += inner) {
            kernels_.gelu(wide_ + at, PANEL);
            to_operands(wide_, at, PANEL, other_operands_);
        }
    });
    multiply(layer.down, operands_of(wide_, other_operands_), mixed_, width_);
    add_norm(mixed_, layer.output_norm);
}

void BertEncoder::Pass::pool(float *const *rows) const {
    for (std::size_t text = 0; text < starts_.size(); text++) {
        encoder_.pool(hidden_ + starts_[text] * width_, lengths_[text], rows[text]);
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
                        Scratch &scratch, BertTeam &team, const std::function<bool()> &stopped) const {
    const Pass pass(*this, lengths, n_texts, scratch, team);
    pass.embed_tokens(tokens);
    for (const BertLayer &layer : layers_) {
        if (stopped()) return false;
        pass.compute(layer);
    }
    pass.pool(rows);
    return true;
}

} // namespace gpt4all

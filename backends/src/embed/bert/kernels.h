// The arithmetic of a BERT encoder. kernels.cpp is compiled once for every
// kind of processor; each result depends on its own row of inputs alone, and is
// summed in one order, whatever the number of rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpt4all {

// Columns of a block of a matrix; weights are stored in panels of that many.
constexpr int32_t PANEL = 32;

// Products with weights.
struct BertProducts {
    // Of a weight, and of a number that is multiplied with it.
    std::size_t operand_bytes;
    // `values` are PANEL rows of a weight matrix.
    void (*pack)(const float *values, int64_t depth, void *panel);
    // NULL where operands are floats.
    void (*to_operands)(const float *from, int64_t n, void *to);
    // c[rows][PANEL] = a[rows][depth] * panel[depth][PANEL] + bias[PANEL]
    void (*multiply)(const void *a, int64_t a_stride, const void *panel, int64_t rows, int64_t depth, const float *bias,
                     float *c, int64_t c_stride);
};

struct BertKernels {
    BertProducts exact;
    // With operands rounded to bfloat16 and sums in 32 bits, where the processor
    // multiplies those at twice the speed; else the same.
    BertProducts fast;
    // c[rows][PANEL] = a[rows][depth] * b[depth][PANEL]
    void (*multiply)(const float *a, int64_t a_stride, const float *b, int64_t b_stride, int64_t rows, int64_t depth,
                     float *c, int64_t c_stride);
    // x = normalized(x + y) * weight + bias; y may be NULL.
    void (*add_norm)(float *x, const float *y, const float *weight, const float *bias, float epsilon, int64_t rows,
                     int64_t width);
    void (*gelu)(float *x, int64_t n);
    // Of the first `width` numbers of each row, scaled; the rest become 0.
    void (*softmax)(float *x, int64_t rows, int64_t width, int64_t stride, float scale);
};

// The fastest for this processor, or those that the environment variable
// GPT4ALL_BERT_KERNELS names; NULL where the engine is to compute. Throws where
// the processor lacks what was named.
const BertKernels *find_bert_kernels();

} // namespace gpt4all

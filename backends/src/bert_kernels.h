// The arithmetic of a BERT encoder. bert_kernels.cpp is compiled once for every
// kind of processor; each result depends on its own row of inputs alone, and is
// summed in one order, whatever the number of rows.
#pragma once

#include <cstdint>

namespace gpt4all {

// Columns of a block of a matrix; weights are stored in panels of that many.
constexpr int32_t PANEL = 32;

struct BertKernels {
    // c[rows][PANEL] = a[rows][depth] * b[depth][PANEL], plus the bias where there is one.
    void (*multiply)(const float *a, int64_t a_stride, const float *b, int64_t b_stride, int64_t rows, int64_t depth,
                     const float *bias, float *c, int64_t c_stride);
    // x = normalized(x + y) * weight + bias; y may be NULL.
    void (*add_norm)(float *x, const float *y, const float *weight, const float *bias, float epsilon, int64_t rows,
                     int64_t width);
    void (*gelu)(float *x, int64_t n);
    // Of the first `width` numbers of each row, scaled; the rest become 0.
    void (*softmax)(float *x, int64_t rows, int64_t width, int64_t stride, float scale);
};

// Those for this processor, or NULL where there are none.
const BertKernels *find_bert_kernels();

} // namespace gpt4all

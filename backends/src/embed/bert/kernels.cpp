// Compiled with GPT4ALL_KERNELS as the name of the table and GPT4ALL_VECTOR as
// the bytes of a vector register; see Shim.cmake.
#include "embed/bert/kernels.h"

#include <cmath>
#include <cstring>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace gpt4all {
namespace {

constexpr int32_t LANES = GPT4ALL_VECTOR / static_cast<int32_t>(sizeof(float));
typedef float Vector __attribute__((vector_size(GPT4ALL_VECTOR)));
typedef float LooseVector __attribute__((vector_size(GPT4ALL_VECTOR), aligned(4), may_alias));

// As many accumulators as registers allow beside two vectors of b: there are
// 32 on AVX-512 and Arm, 16 elsewhere.
constexpr int32_t COLUMNS = 2 * LANES;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int32_t ROWS = 12;
#else
constexpr int32_t ROWS = 6;
#endif
static_assert(PANEL % COLUMNS == 0, "a panel is a whole number of blocks");

inline Vector load(const float *from) { return *reinterpret_cast<const LooseVector *>(from); }
inline void store(float *to, Vector value) { *reinterpret_cast<LooseVector *>(to) = value; }

// One step of a sum of products of floats. A step takes DEPTH numbers of a row,
// and as many rows of the matrix, which stand in one vector for each column.
struct FloatStep {
    using Number = float;
    using Loaded = Vector;
    using Spread = float;
    static constexpr int64_t DEPTH = 1;
    static Loaded load(const Number *from) { return gpt4all::load(from); }
    static Spread spread(const Number *from) { return *from; }
    static void add(Vector &sum, Spread a, Loaded b) { sum += a * b; }
    static void round(const float *from, int64_t n, Number *to) { std::memcpy(to, from, n * sizeof *from); }
};

#if defined(__AVX512BF16__)
// The same of bfloat16, whose products are summed in floats.
struct HalfStep {
    using Number = uint16_t;
    using Loaded = __m512bh;
    using Spread = __m512bh;
    static constexpr int64_t DEPTH = 2;
    static Loaded load(const Number *from) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(from)); }
    static Spread spread(const Number *from) {
        int32_t pair;
        std::memcpy(&pair, from, sizeof pair);
        return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
    }
    static void add(Vector &sum, Spread a, Loaded b) { sum = _mm512_dpbf16_ps(sum, a, b); }
    static void round(const float *from, int64_t n, Number *to) {
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            const __m256bh rounded = _mm512_cvtneps_pbh(gpt4all::load(from + i));
            std::memcpy(to + i, &rounded, sizeof rounded);
        }
        for (; i < n; i++) {
            const __m128bh rounded = _mm_cvtneps_pbh(_mm_set_ss(from[i]));
            std::memcpy(to + i, &rounded, sizeof *to);
        }
    }
};
#endif

template <int32_t N, class Step>
void multiply_block(const typename Step::Number *a, int64_t a_stride, const typename Step::Number *b, int64_t b_stride,
                    int64_t depth, const float *bias, float *c, int64_t c_stride) {
    Vector sums[N][2];
    for (int32_t row = 0; row < N; row++) {
        sums[row][0] = bias == nullptr ? Vector{} : load(bias);
        sums[row][1] = bias == nullptr ? Vector{} : load(bias + LANES);
    }
    for (int64_t k = 0; k < depth; k += Step::DEPTH) {
        const auto b0 = Step::load(b + k * b_stride);
        const auto b1 = Step::load(b + k * b_stride + LANES * Step::DEPTH);
#pragma GCC unroll 12
        for (int32_t row = 0; row < N; row++) {
            const auto factor = Step::spread(a + row * a_stride + k);
            Step::add(sums[row][0], factor, b0);
            Step::add(sums[row][1], factor, b1);
        }
    }
    for (int32_t row = 0; row < N; row++) {
        store(c + row * c_stride, sums[row][0]);
        store(c + row * c_stride + LANES, sums[row][1]);
    }
}

template <int32_t N, class Step>
void multiply_last(const typename Step::Number *a, int64_t a_stride, const typename Step::Number *b, int64_t b_stride,
                   int64_t rows, int64_t depth, const float *bias, float *c, int64_t c_stride) {
    if constexpr (N > 0) {
        if (rows == N) return multiply_block<N, Step>(a, a_stride, b, b_stride, depth, bias, c, c_stride);
        multiply_last<N - 1, Step>(a, a_stride, b, b_stride, rows, depth, bias, c, c_stride);
    }
}

template <class Step>
void multiply_panel(const typename Step::Number *a, int64_t a_stride, const typename Step::Number *b, int64_t b_stride,
                    int64_t rows, int64_t depth, const float *bias, float *c, int64_t c_stride) {
    for (int64_t column = 0; column < PANEL; column += COLUMNS) {
        const float *block_bias = bias == nullptr ? nullptr : bias + column;
        const auto *block = b + column * Step::DEPTH;
        int64_t row = 0;
        for (; row + ROWS <= rows; row += ROWS) {
            multiply_block<ROWS, Step>(a + row * a_stride, a_stride, block, b_stride, depth, block_bias,
                                       c + row * c_stride + column, c_stride);
        }
        multiply_last<ROWS - 1, Step>(a + row * a_stride, a_stride, block, b_stride, rows - row, depth, block_bias,
                                      c + row * c_stride + column, c_stride);
    }
}

void multiply(const float *a, int64_t a_stride, const float *b, int64_t b_stride, int64_t rows, int64_t depth, float *c,
              int64_t c_stride) {
    multiply_panel<FloatStep>(a, a_stride, b, b_stride, rows, depth, nullptr, c, c_stride);
}

template <class Step>
void multiply_weights(const void *a, int64_t a_stride, const void *panel, int64_t rows, int64_t depth,
                      const float *bias, float *c, int64_t c_stride) {
    using Number = typename Step::Number;
    multiply_panel<Step>(static_cast<const Number *>(a), a_stride, static_cast<const Number *>(panel), PANEL, rows,
                         depth, bias, c, c_stride);
}

template <class Step> void pack(const float *values, int64_t depth, void *panel) {
    auto *to = static_cast<typename Step::Number *>(panel);
    for (int64_t k = 0; k < depth; k += Step::DEPTH) {
        for (int64_t column = 0; column < PANEL; column++, to += Step::DEPTH) {
            Step::round(values + column * depth + k, Step::DEPTH, to);
        }
    }
}

constexpr BertProducts EXACT = {sizeof(float), pack<FloatStep>, nullptr, multiply_weights<FloatStep>};
#if defined(__AVX512BF16__)
constexpr BertProducts FAST = {
    sizeof(HalfStep::Number), pack<HalfStep>,
    [](const float *from, int64_t n, void *to) { HalfStep::round(from, n, static_cast<HalfStep::Number *>(to)); },
    multiply_weights<HalfStep>};
#else
constexpr BertProducts FAST = EXACT;
#endif

// e to the power of a number that is not positive, to 1e-7 of the result: by
// powers of two and a polynomial for the rest.
inline float exp_negative(float x) {
    x = x < -87.0f ? -87.0f : x;
    const auto power = static_cast<int32_t>(x * 1.44269504f - 0.5f);
    const auto whole = static_cast<float>(power);
    const float rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float sum = 1.0f / 5040;
    sum = sum * rest + 1.0f / 720;
    sum = sum * rest + 1.0f / 120;
    sum = sum * rest + 1.0f / 24;
    sum = sum * rest + 1.0f / 6;
    sum = sum * rest + 0.5f;
    sum = sum * rest + 1.0f;
    sum = sum * rest + 1.0f;
    const int32_t bits = (power + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

// The error function by formula 7.1.26 of Abramowitz and Stegun, which is within 1.5e-7.
void gelu(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const float scaled = x[i] * 0.707106781f;
        const float size = std::fabs(scaled);
        const float t = 1.0f / (1.0f + 0.3275911f * size);
        float sum = 1.061405429f;
        sum = sum * t - 1.453152027f;
        sum = sum * t + 1.421413741f;
        sum = sum * t - 0.284496736f;
        sum = sum * t + 0.254829592f;
        const float complement = sum * t * exp_negative(-size * size);
        const float error_function = scaled < 0.0f ? complement - 1.0f : 1.0f - complement;
        x[i] = 0.5f * x[i] * (1.0f + error_function);
    }
}

// Sums of 16 interleaved parts: one order for every width of vector.
constexpr int32_t PARTS = 16;

template <class Term> inline float sum_of(int64_t n, Term term) {
    float parts[PARTS] = {};
    int64_t i = 0;
    for (; i + PARTS <= n; i += PARTS) {
        for (int32_t part = 0; part < PARTS; part++) parts[part] += term(i + part);
    }
    for (; i < n; i++) parts[0] += term(i);
    float sum = 0.0f;
    for (const float part : parts) sum += part;
    return sum;
}

void add_norm(float *x, const float *y, const float *weight, const float *bias, float epsilon, int64_t rows,
              int64_t width) {
    for (int64_t row = 0; row < rows; row++, x += width) {
        if (y != nullptr) {
            const float *added = y + row * width;
            for (int64_t i = 0; i < width; i++) x[i] += added[i];
        }
        const float mean = sum_of(width, [x](int64_t i) { return x[i]; }) / static_cast<float>(width);
        for (int64_t i = 0; i < width; i++) x[i] -= mean;
        const float square = sum_of(width, [x](int64_t i) { return x[i] * x[i]; }) / static_cast<float>(width);
        const float scale = 1.0f / std::sqrt(square + epsilon);
        for (int64_t i = 0; i < width; i++) x[i] = x[i] * scale * weight[i] + bias[i];
    }
}

void softmax(float *x, int64_t rows, int64_t width, int64_t stride, float scale) {
    for (int64_t row = 0; row < rows; row++, x += stride) {
        float highest = x[0];
        for (int64_t i = 1; i < width; i++) highest = x[i] > highest ? x[i] : highest;
        for (int64_t i = 0; i < width; i++) x[i] = exp_negative((x[i] - highest) * scale);
        const float inverse = 1.0f / sum_of(width, [x](int64_t i) { return x[i]; });
        for (int64_t i = 0; i < width; i++) x[i] *= inverse;
        for (int64_t i = width; i < stride; i++) x[i] = 0.0f;
    }
}

} // namespace

extern const BertKernels GPT4ALL_KERNELS;
const BertKernels GPT4ALL_KERNELS = {EXACT, FAST, multiply, add_norm, gelu, softmax};

} // namespace gpt4all

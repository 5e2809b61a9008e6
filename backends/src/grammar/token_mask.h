// A set of tokens, or of other things that are counted from zero.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpt4all {

class TokenMask {
public:
    explicit TokenMask(std::size_t size = 0) : size_(size), words_((size + 63) / 64, 0) {}

    std::size_t size() const { return size_; }
    bool has(std::size_t i) const { return (words_[i / 64] >> i % 64 & 1) != 0; }
    void add(std::size_t i) { words_[i / 64] |= uint64_t{1} << i % 64; }
    void remove(std::size_t i) { words_[i / 64] &= ~(uint64_t{1} << i % 64); }
    void put(std::size_t i, bool in) { in ? add(i) : remove(i); }
    void add_all() { std::fill(words_.begin(), words_.end(), ~uint64_t{0}); }
    void add_all(const TokenMask &other) {
        for (std::size_t w = 0; w < words_.size(); w++) words_[w] |= other.words_[w];
    }
    void keep(const TokenMask &other) {
        for (std::size_t w = 0; w < words_.size(); w++) words_[w] &= other.words_[w];
    }

    // The first that is not in it, from one on; at least size() if there is none.
    std::size_t next_missing(std::size_t i) const {
        if (i >= size_) return i;
        std::size_t w = i / 64;
        uint64_t missing = ~words_[w] >> i % 64 << i % 64;
        while (missing == 0) {
            if (++w == words_.size()) return size_;
            missing = ~words_[w];
        }
        return w * 64 + lowest(missing);
    }

    // Puts `never` in place of the logits of all others. Whether one is left that was more.
    bool apply(float *logits, float never) const {
        bool any = false;
        for (std::size_t w = 0; w < words_.size(); w++) {
            float *begin = logits + w * 64;
            const std::size_t n = std::min<std::size_t>(64, size_ - w * 64);
            const uint64_t word = words_[w];
            if (word == 0) {
                std::fill_n(begin, n, never);
                continue;
            }
            if (~word != 0) {
                for (std::size_t k = 0; k < n; k++) begin[k] = (word >> k & 1) != 0 ? begin[k] : never;
            }
            for (std::size_t k = 0; k < n && !any; k++) any = begin[k] > never;
        }
        return any;
    }

private:
    static std::size_t lowest(uint64_t word) {
#if defined(__GNUC__)
        return static_cast<std::size_t>(__builtin_ctzll(word));
#else
        std::size_t n = 0;
        while ((word >> n & 1) == 0) n++;
        return n;
#endif
    }

    std::size_t size_;
    std::vector<uint64_t> words_;
};

} // namespace gpt4all

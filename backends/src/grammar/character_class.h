// Sets of Unicode characters.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace gpt4all {

constexpr uint32_t LAST_CODE = 0x10FFFF;

struct CodeRange {
    uint32_t first;
    uint32_t last;
};

// A set of Unicode characters; surrogates are none.
class CharacterClass {
public:
    CharacterClass(std::vector<CodeRange> ranges, bool negated);

    bool empty() const { return ranges_.empty(); }
    const std::vector<CodeRange> &ranges() const { return ranges_; } // in order, apart from each other
    bool contains(uint32_t code) const { return code < 128 ? ascii_[code] : overlaps(code, code); }
    std::size_t size() const;
    bool overlaps(uint32_t first, uint32_t last) const;
    bool covers(const CharacterClass &other) const;
    CharacterClass common(const CharacterClass &other) const;

private:
    std::vector<CodeRange>::const_iterator range_from(uint32_t code) const; // the first that ends there or later

    std::vector<CodeRange> ranges_;
    std::array<bool, 128> ascii_ = {};
};

} // namespace gpt4all

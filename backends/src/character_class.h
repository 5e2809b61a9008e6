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
    bool contains(uint32_t code) const { return code < 128 ? ascii_[code] : overlaps(code, code); }
    bool overlaps(uint32_t first, uint32_t last) const;

private:
    std::vector<CodeRange> ranges_; // in order, apart from each other
    std::array<bool, 128> ascii_ = {};
};

} // namespace gpt4all

#include "character_class.h"

#include <algorithm>

namespace gpt4all {
namespace {

constexpr uint32_t FIRST_SURROGATE = 0xD800;
constexpr uint32_t LAST_SURROGATE = 0xDFFF;

} // namespace

CharacterClass::CharacterClass(std::vector<CodeRange> ranges, bool negated) {
    ranges.push_back({FIRST_SURROGATE, LAST_SURROGATE});
    std::sort(ranges.begin(), ranges.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
    // The complement in order: what lies between the ranges.
    std::vector<CodeRange> between;
    uint32_t next = 0;
    for (const CodeRange &range : ranges) {
        if (range.first > next) between.push_back({next, range.first - 1});
        next = std::max(next, range.last + 1);
    }
    if (next <= LAST_CODE) between.push_back({next, LAST_CODE});
    if (negated) {
        ranges_ = std::move(between);
    } else {
        // The complement of the complement, without the surrogates.
        between.push_back({FIRST_SURROGATE, LAST_SURROGATE});
        ranges_ = CharacterClass(std::move(between), true).ranges_;
    }
    for (uint32_t code = 0; code < ascii_.size(); code++) ascii_[code] = overlaps(code, code);
}

bool CharacterClass::overlaps(uint32_t first, uint32_t last) const {
    const auto range = std::lower_bound(ranges_.begin(), ranges_.end(), first,
                                        [](const CodeRange &r, uint32_t code) { return r.last < code; });
    return range != ranges_.end() && range->first <= last;
}

} // namespace gpt4all

#include "grammar/character_class.h"

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

std::size_t CharacterClass::size() const {
    std::size_t n = 0;
    for (const CodeRange &range : ranges_) n += range.last - range.first + std::size_t{1};
    return n;
}

std::vector<CodeRange>::const_iterator CharacterClass::range_from(uint32_t code) const {
    return std::lower_bound(ranges_.begin(), ranges_.end(), code,
                            [](const CodeRange &range, uint32_t at) { return range.last < at; });
}

bool CharacterClass::overlaps(uint32_t first, uint32_t last) const {
    const auto range = range_from(first);
    return range != ranges_.end() && range->first <= last;
}

bool CharacterClass::covers(const CharacterClass &other) const {
    return std::all_of(other.ranges_.begin(), other.ranges_.end(), [&](const CodeRange &wanted) {
        const auto range = range_from(wanted.first);
        return range != ranges_.end() && range->first <= wanted.first && range->last >= wanted.last;
    });
}

CharacterClass CharacterClass::common(const CharacterClass &other) const {
    std::vector<CodeRange> ranges;
    for (const CodeRange &wanted : other.ranges_) {
        for (auto range = range_from(wanted.first); range != ranges_.end() && range->first <= wanted.last; ++range)
            ranges.push_back({std::max(range->first, wanted.first), std::min(range->last, wanted.last)});
    }
    return {std::move(ranges), false};
}

} // namespace gpt4all

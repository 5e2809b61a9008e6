#include "generate/text_stream.h"

#include "base/utf8.h"

#include <algorithm>

namespace gpt4all {

bool TextStream::feed(const std::string &bytes) {
    if (stopped_) return true;
    // Everything before pending_ was shown because no stop string could begin
    // there, so the search need not look further back.
    pending_ += bytes;
    // Of several, the one complete first counts, so that the answer does not
    // depend on how the text came in tokens.
    std::size_t begin = 0;
    std::size_t end = std::string::npos;
    for (const std::string &stop : stops_) {
        const std::size_t at = pending_.find(stop);
        if (at == std::string::npos || at + stop.size() > end) continue;
        begin = at + stop.size() == end ? std::min(begin, at) : at;
        end = at + stop.size();
    }
    if (end != std::string::npos) {
        pending_.resize(begin);
        stopped_ = true;
        ready_ = pending_.size();
        return true;
    }
    ready_ = pending_.size() - std::max(possible_stop(), incomplete_character());
    return false;
}

std::string TextStream::take() {
    std::string text = pending_.substr(0, ready_);
    pending_.erase(0, ready_);
    ready_ = 0;
    return text;
}

// Length of the longest end of the text that begins a stop string.
std::size_t TextStream::possible_stop() const {
    std::size_t longest = 0;
    for (const std::string &stop : stops_) {
        for (std::size_t n = std::min(stop.size() - 1, pending_.size()); n > longest; n--) {
            if (pending_.compare(pending_.size() - n, n, stop, 0, n) == 0) {
                longest = n;
                break;
            }
        }
    }
    return longest;
}

// Length of a trailing UTF-8 sequence that more bytes could still complete.
std::size_t TextStream::incomplete_character() const {
    const std::size_t size = pending_.size();
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, size); back++) {
        const auto byte = static_cast<unsigned char>(pending_[size - back]);
        if (is_continuation(byte)) continue;
        return continuation_bytes(byte) >= static_cast<int>(back) ? back : 0;
    }
    return 0;
}

} // namespace gpt4all

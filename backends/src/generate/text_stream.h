// Joins token pieces into text that may be shown: whole UTF-8 characters, and
// nothing that may turn out to be a stop string.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace gpt4all {

class TextStream {
public:
    explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

    // Adds bytes. True when a stop string is complete: text before it is then
    // ready, and nothing after it ever will be.
    bool feed(const std::string &bytes);

    // Everything held back becomes ready.
    void finish() { ready_ = pending_.size(); }

    bool has_ready() const { return ready_ > 0; }

    // What may not be shown yet.
    std::string held_back() const { return pending_.substr(ready_); }

    // Takes what may be shown.
    std::string take();

private:
    std::size_t possible_stop() const;
    std::size_t incomplete_character() const;

    std::vector<std::string> stops_;
    std::string pending_;
    std::size_t ready_ = 0;
    bool stopped_ = false;
};

} // namespace gpt4all

// One run of a chat template. Templates come with model files from anywhere,
// so a run has bounds. The engine tells its meter of all that it does
// (patches/20-jinja.patch); what that is worth is decided here.
#pragma once

#include "jinja/value.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace gpt4all {

// These are no std::exceptions: the engine would wrap those in text of its own
// at every level they pass.
struct TemplateRefusal { // the template called raise_exception
    std::string message;
};
struct TemplateLimit { // the template wants more than it may have
    std::string message;
};
struct TemplateCancelled {};

struct TemplateBounds {
    std::size_t work;   // see jinja::meter::spend
    std::size_t text;   // bytes of any one text
    std::size_t memory; // bytes of all values at a time

    // Long conversations take more.
    static TemplateBounds for_conversation(std::size_t n_messages, std::size_t bytes);
    // For messages of a few words.
    static TemplateBounds for_trial();
    // For some hundred of those.
    static TemplateBounds for_analysis();
};

// Bounds what this thread renders while it lives.
class TemplateScope : public jinja::meter {
public:
    // `cancel` is polled; it may be NULL.
    TemplateScope(const TemplateBounds &bounds, const int32_t *cancel);
    ~TemplateScope() override;
    TemplateScope(const TemplateScope &) = delete;
    TemplateScope &operator=(const TemplateScope &) = delete;

    void spend(std::size_t work) override;
    void check_text(std::size_t bytes) override;
    void occupy(std::size_t bytes, std::size_t depth) override;
    void release(std::size_t bytes) noexcept override;
    void changed(const jinja::value &container) override;

private:
    void poll();

    const char *stack_;
    std::size_t work_left_;
    std::size_t next_poll_; // once no more work than this is left
    std::size_t max_text_;
    std::size_t memory_left_;
    std::chrono::steady_clock::time_point deadline_;
    const int32_t *cancel_;
    // Kept to the end and then emptied: they may hold themselves, or be long
    // chains, and destructors recurse.
    std::vector<jinja::value> changed_;
    std::unordered_set<const jinja::value_t *> changed_set_;
};

} // namespace gpt4all

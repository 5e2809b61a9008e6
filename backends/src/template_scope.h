// One run of a chat template. Templates come with model files from anywhere,
// so a run has bounds; the engine itself has none.
#pragma once

#include "jinja/runtime.h"

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

class Operation;

struct TemplateBounds {
    std::size_t steps; // of about a microsecond, or two
    std::size_t bytes; // of any one text

    // Long conversations take more.
    static TemplateBounds for_conversation(std::size_t n_messages, std::size_t bytes);
    // For messages of a few words.
    static TemplateBounds for_trial();
};

class TemplateScope {
public:
    // `scope_cost` is what opening a scope for a loop or a macro costs. While
    // `analysing`, the engine probes what a template can do, and expects its
    // own exceptions.
    TemplateScope(const TemplateBounds &bounds, std::size_t scope_cost, bool analysing);
    ~TemplateScope();
    TemplateScope(const TemplateScope &) = delete;
    TemplateScope &operator=(const TemplateScope &) = delete;

    // This thread's run.
    static TemplateScope &current();

    void spend(std::size_t cost);
    void spend_bytes(std::size_t bytes);
    // For one scope and `n` more.
    void spend_scopes(std::size_t n);
    // Product of two counts of the same work, which may overflow.
    void spend_product(std::size_t a, std::size_t b, std::size_t per_unit);
    void check_stack() const;
    void check_size(std::size_t bytes) const;
    void check_string(const jinja::value &value);
    // All that is in a container: depth, number, text, the bytes of which it gives.
    std::size_t check_container(const jinja::value &value);
    void check_output(const jinja::value &value);
    // Before `container` takes up `value`.
    void check_insertion(const jinja::value &container, const jinja::value &value);

    bool analysing() const { return analysing_; }
    std::size_t max_bytes() const { return max_bytes_; }

    // The operation that values are being computed for.
    Operation *operation = nullptr;

private:
    struct Extent {
        std::size_t bytes = 0;
        std::size_t nodes = 0;
    };
    void measure(const jinja::value &value, std::size_t depth, Extent &extent) const;
    bool reaches(const jinja::value &value, const jinja::value_t *target, std::size_t depth);

    TemplateScope *outer_;
    const char *stack_;
    std::size_t fuel_;
    std::size_t max_bytes_;
    std::size_t scope_cost_;
    std::size_t output_ = 0;
    bool analysing_;
    // Containers that were added to, which may form chains of any length: they
    // are taken apart one by one, as their destructors would recurse.
    std::vector<jinja::value> changed_;
    std::unordered_set<const jinja::value_t *> changed_set_;
};

bool is_container(const jinja::value &value);
std::size_t container_size(const jinja::value &value);

// Whether any text in it came from a message or an argument.
bool holds_input(const jinja::value &value);
// A copy all of whose texts count as input.
jinja::value as_input(const jinja::value &value);

} // namespace gpt4all

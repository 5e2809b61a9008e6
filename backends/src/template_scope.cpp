#include "template_scope.h"

#include <stdexcept>
#include <utility>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace gpt4all {
namespace {

using jinja::is_val;
using jinja::value;

// Templates need up to a hundred steps for a message. Some look at all messages
// for each, and some append to one text that grows with each.
constexpr std::size_t FUEL = 3 * 1000 * 1000;
constexpr std::size_t FUEL_PER_PAIR = 32;
constexpr std::size_t MAX_FUEL_FOR_PAIRS = 100 * 1000 * 1000;
constexpr std::size_t FUEL_PER_BYTE = 2;
constexpr std::size_t MAX_TEXT = 8 * 1024 * 1024;
constexpr std::size_t MAX_NODES = 1024 * 1024;
constexpr std::size_t MAX_DEPTH = 128;
// Threads have half a megabyte at least; what the engine uses between two
// checks is far below the rest.
#if defined(GPT4ALL_SANITIZED)
constexpr std::size_t MAX_STACK = 1536 * 1024;
#else
constexpr std::size_t MAX_STACK = 256 * 1024;
#endif
// A text that is copied may be kept, so these bound the memory too.
constexpr std::size_t BYTES_PER_UNIT = 256;
constexpr std::size_t PARTS_PER_UNIT = 4;
constexpr std::size_t NODES_PER_UNIT = 16;

thread_local TemplateScope *current_scope = nullptr;

const char *stack_position() {
#if defined(_MSC_VER)
    return static_cast<const char *>(_AddressOfReturnAddress());
#else
    return static_cast<const char *>(__builtin_frame_address(0));
#endif
}

bool is_string(const value &v) { return is_val<jinja::value_string>(v); }
bool is_array(const value &v) { return is_val<jinja::value_array>(v); }
bool is_object(const value &v) { return is_val<jinja::value_object>(v); }

} // namespace

TemplateBounds TemplateBounds::for_conversation(std::size_t n_messages, std::size_t bytes) {
    const std::size_t most = MAX_FUEL_FOR_PAIRS / FUEL_PER_PAIR;
    const std::size_t pairs = n_messages > most / (n_messages + 1) ? most : n_messages * n_messages;
    return {FUEL + FUEL_PER_PAIR * pairs + FUEL_PER_BYTE * bytes, MAX_TEXT + 4 * bytes};
}

TemplateBounds TemplateBounds::for_trial() { return {FUEL / 4, MAX_TEXT}; }

TemplateScope::TemplateScope(const TemplateBounds &bounds, std::size_t scope_cost, bool analysing)
    : outer_(current_scope), stack_(stack_position()), fuel_(bounds.steps), max_bytes_(bounds.bytes),
      scope_cost_(scope_cost), analysing_(analysing) {
    current_scope = this;
}

TemplateScope::~TemplateScope() {
    current_scope = outer_;
    for (const value &container : changed_) {
        container->val_arr.clear();
        container->val_obj.clear();
        if (is_object(container)) static_cast<jinja::value_object_t *>(container.get())->unordered.clear();
    }
}

TemplateScope &TemplateScope::current() {
    if (current_scope == nullptr) throw std::logic_error("a chat template runs outside of a scope");
    return *current_scope;
}

void TemplateScope::spend(std::size_t cost) {
    if (cost > fuel_) throw TemplateLimit{"it takes too many steps"};
    fuel_ -= cost;
}

void TemplateScope::spend_bytes(std::size_t bytes) { spend(bytes / BYTES_PER_UNIT); }

void TemplateScope::spend_scopes(std::size_t n) { spend_product(n + 1, scope_cost_, 1); }

void TemplateScope::spend_product(std::size_t a, std::size_t b, std::size_t per_unit) {
    if (b != 0 && a > SIZE_MAX / b) spend(SIZE_MAX);
    spend(a * b / per_unit);
}

void TemplateScope::check_stack() const {
    const char *here = stack_position();
    const std::size_t used =
        here < stack_ ? static_cast<std::size_t>(stack_ - here) : static_cast<std::size_t>(here - stack_);
    if (used > MAX_STACK) throw TemplateLimit{"it is nested too deeply"};
}

void TemplateScope::check_size(std::size_t bytes) const {
    if (bytes > max_bytes_) throw TemplateLimit{"its text grows too long"};
}

void TemplateScope::check_string(const value &v) {
    const std::size_t bytes = v->val_str.length();
    check_size(bytes);
    // Empty parts take memory as well.
    const std::size_t parts = v->val_str.parts.size();
    if (parts > MAX_NODES) throw TemplateLimit{"its text has too many parts"};
    spend_bytes(bytes);
    spend(parts / PARTS_PER_UNIT);
}

std::size_t TemplateScope::check_container(const value &v) {
    Extent extent;
    measure(v, 0, extent);
    spend_bytes(extent.bytes);
    spend(extent.nodes / NODES_PER_UNIT);
    return extent.bytes;
}

void TemplateScope::check_output(const value &v) {
    output_ += check_container(v);
    // What a template writes into variables is copied once or twice.
    check_size(output_ / 4);
}

void TemplateScope::measure(const value &v, std::size_t depth, Extent &extent) const {
    if (depth > MAX_DEPTH) throw TemplateLimit{"its values are nested too deeply"};
    if (++extent.nodes > MAX_NODES) throw TemplateLimit{"its values grow too large"};
    if (is_string(v)) {
        extent.bytes += v->val_str.length();
        extent.nodes += v->val_str.parts.size();
        check_size(extent.bytes);
    } else if (is_array(v)) {
        for (const value &item : v->val_arr) measure(item, depth + 1, extent);
    } else if (is_object(v)) {
        for (const auto &item : v->val_obj) {
            measure(item.first, depth + 1, extent);
            measure(item.second, depth + 1, extent);
        }
    } else if (const auto *kwarg = jinja::cast_val<jinja::value_kwarg>(v)) {
        measure(kwarg->val, depth + 1, extent);
    } else if (const auto *function = jinja::cast_val<jinja::value_func>(v)) {
        if (function->arg0) measure(function->arg0, depth + 1, extent);
    }
}

bool TemplateScope::reaches(const value &v, const jinja::value_t *target, std::size_t depth) {
    if (v.get() == target) return true;
    if (depth > MAX_DEPTH) throw TemplateLimit{"its values are nested too deeply"};
    spend(depth == 0 ? 1 : 0);
    if (is_array(v)) {
        for (const value &item : v->val_arr) {
            if (reaches(item, target, depth + 1)) return true;
        }
    } else if (is_object(v)) {
        for (const auto &item : v->val_obj) {
            if (reaches(item.first, target, depth + 1) || reaches(item.second, target, depth + 1)) return true;
        }
    } else if (const auto *function = jinja::cast_val<jinja::value_func>(v)) {
        return function->arg0 && reaches(function->arg0, target, depth + 1);
    }
    return false;
}

void TemplateScope::check_insertion(const value &container, const value &v) {
    if (!is_container(v) && !is_val<jinja::value_func>(v)) return;
    // Bounds the search for the container too.
    check_container(v);
    if (reaches(v, container.get(), 0)) throw TemplateLimit{"a value would contain itself"};
    if (changed_set_.insert(container.get()).second) changed_.push_back(container);
}

bool is_container(const value &v) { return is_array(v) || is_object(v); }

std::size_t container_size(const value &v) {
    return is_array(v) ? v->val_arr.size() : is_object(v) ? v->val_obj.size() : 0;
}

namespace {

bool holds_input_to(const value &v, std::size_t depth) {
    // What is nested deeper fails elsewhere.
    if (depth > MAX_DEPTH) return true;
    if (is_string(v)) {
        for (const jinja::string_part &part : v->val_str.parts) {
            if (part.is_input && !part.val.empty()) return true;
        }
    } else if (is_array(v)) {
        for (const value &item : v->val_arr) {
            if (holds_input_to(item, depth + 1)) return true;
        }
    } else if (is_object(v)) {
        for (const auto &item : v->val_obj) {
            if (holds_input_to(item.first, depth + 1) || holds_input_to(item.second, depth + 1)) return true;
        }
    } else if (const auto *kwarg = jinja::cast_val<jinja::value_kwarg>(v)) {
        return holds_input_to(kwarg->val, depth + 1);
    }
    return false;
}

value as_input_to(const value &v, std::size_t depth) {
    if (depth > MAX_DEPTH) throw TemplateLimit{"its values are nested too deeply"};
    if (is_string(v)) {
        auto copy = jinja::mk_val<jinja::value_string>(v->val_str);
        copy->mark_input();
        return copy;
    }
    if (is_array(v)) {
        std::vector<value> items;
        for (const value &item : v->val_arr) items.push_back(as_input_to(item, depth + 1));
        if (is_val<jinja::value_tuple>(v)) return jinja::mk_val<jinja::value_tuple>(std::move(items));
        return jinja::mk_val<jinja::value_array>(std::move(items));
    }
    if (is_object(v)) {
        auto copy = jinja::mk_val<jinja::value_object>();
        for (const auto &item : v->val_obj) {
            copy->insert(as_input_to(item.first, depth + 1), as_input_to(item.second, depth + 1));
        }
        return copy;
    }
    return v;
}

} // namespace

bool holds_input(const value &v) { return holds_input_to(v, 0); }

value as_input(const value &v) { return as_input_to(v, 0); }

} // namespace gpt4all

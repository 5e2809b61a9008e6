#include "chat/sandbox/scope.h"

#include "base/cancel.h"

#include <algorithm>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace gpt4all {
namespace {

// Templates need some thousand units for a message. Some look at all messages
// for each, and some append to one text that grows with each.
constexpr std::size_t WORK = 24 * 1000 * 1000;
constexpr std::size_t WORK_PER_PAIR = 512;
constexpr std::size_t MAX_WORK_FOR_PAIRS = 1000 * 1000 * 1000;
constexpr std::size_t WORK_PER_BYTE = 256; // some loop over the characters
constexpr std::size_t MAX_TEXT = 8 * 1024 * 1024;
constexpr std::size_t MAX_MEMORY = 96 * 1024 * 1024;
constexpr std::size_t MAX_DEPTH = 128;
constexpr std::size_t POLL_INTERVAL = 8192;
// A unit takes some 50 ns; a busy machine is given ten times as long.
constexpr std::chrono::nanoseconds TIME_PER_UNIT{500};
// Threads have half a megabyte at least; what the engine uses between two
// checks is far below the rest.
#if defined(GPT4ALL_SANITIZED)
constexpr std::size_t MAX_STACK = 1536 * 1024;
#else
constexpr std::size_t MAX_STACK = 256 * 1024;
#endif

const char *stack_position() {
#if defined(_MSC_VER)
    return static_cast<const char *>(_AddressOfReturnAddress());
#else
    return static_cast<const char *>(__builtin_frame_address(0));
#endif
}

} // namespace

TemplateBounds TemplateBounds::for_conversation(std::size_t n_messages, std::size_t bytes) {
    const std::size_t most = MAX_WORK_FOR_PAIRS / WORK_PER_PAIR;
    const std::size_t pairs = n_messages > most / (n_messages + 1) ? most : n_messages * n_messages;
    return {WORK + WORK_PER_PAIR * pairs + WORK_PER_BYTE * bytes, MAX_TEXT + 4 * bytes, MAX_MEMORY + 16 * bytes};
}

TemplateBounds TemplateBounds::for_trial() { return {WORK / 2, MAX_TEXT, MAX_MEMORY}; }

TemplateBounds TemplateBounds::for_analysis() { return {4 * WORK, MAX_TEXT, MAX_MEMORY}; }

TemplateScope::TemplateScope(const TemplateBounds &bounds, const int32_t *cancel)
    : stack_(stack_position()), work_left_(bounds.work), next_poll_(bounds.work), max_text_(bounds.text),
      memory_left_(bounds.memory),
      deadline_(std::chrono::steady_clock::now() + TIME_PER_UNIT * static_cast<int64_t>(bounds.work)), cancel_(cancel) {
    current() = this;
}

TemplateScope::~TemplateScope() {
    for (const jinja::value &container : changed_) {
        container->val_arr.clear();
        container->val_obj.clear();
        if (jinja::is_val<jinja::value_object>(container))
            static_cast<jinja::value_object_t *>(container.get())->unordered.clear();
    }
    changed_.clear();
    current() = nullptr;
}

void TemplateScope::spend(std::size_t work) {
    if (work > work_left_) throw TemplateLimit{"it takes too many steps"};
    work_left_ -= work;
    const char *here = stack_position();
    const auto used = static_cast<std::size_t>(here < stack_ ? stack_ - here : here - stack_);
    if (used > MAX_STACK) throw TemplateLimit{"it is nested too deeply"};
    if (work_left_ <= next_poll_) poll();
}

void TemplateScope::poll() {
    next_poll_ = work_left_ - std::min(work_left_, POLL_INTERVAL);
    if (is_set(cancel_)) throw TemplateCancelled{};
    if (std::chrono::steady_clock::now() > deadline_) throw TemplateLimit{"it takes too long"};
}

void TemplateScope::check_text(std::size_t bytes) {
    if (bytes > max_text_) throw TemplateLimit{"its text grows too long"};
}

void TemplateScope::occupy(std::size_t bytes, std::size_t depth) {
    if (depth > MAX_DEPTH) throw TemplateLimit{"its values are nested too deeply"};
    if (bytes > memory_left_) throw TemplateLimit{"its values grow too large"};
    memory_left_ -= bytes;
}

void TemplateScope::release(std::size_t bytes) noexcept { memory_left_ += bytes; }

void TemplateScope::changed(const jinja::value &container) {
    if (changed_set_.insert(container.get()).second) changed_.push_back(container);
}

} // namespace gpt4all

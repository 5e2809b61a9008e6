#include "base/guard.h"

namespace gpt4all {
namespace {

thread_local int abort_scopes = 0;
thread_local std::string last_message;

} // namespace

void set_last_error(const char *message) noexcept {
    try {
        last_message = message;
    } catch (...) {
        last_message.clear();
    }
}

const char *last_error() noexcept { return last_message.c_str(); }

AbortScope::AbortScope() { abort_scopes++; }
AbortScope::~AbortScope() { abort_scopes--; }
bool AbortScope::is_open() { return abort_scopes > 0; }

} // namespace gpt4all

// Messages in the form that a template can take.
#pragma once

#include "jinja/caps.h"
#include "jinja/value.h"
#include "json.h"

#include <string>

namespace gpt4all {

// Parses JSON, or throws GPT4ALL_ERROR_INVALID_ARGUMENT that names the argument.
common_json parse_json(const char *text, const char *name);

// Throws GPT4ALL_ERROR_INVALID_ARGUMENT unless it is a list of {"role": text, ...}.
void check_messages(const common_json &messages);

common_json prepare_messages(common_json messages, const jinja::caps &caps, const std::string &source);

// As values for the engine. All text counts as input except for a role that is
// a plain word: templates make control tokens of those ('<|' + role + '|>').
jinja::value messages_value(const common_json &messages);
jinja::value input_value(const common_json &json);

} // namespace gpt4all

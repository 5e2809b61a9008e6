// Tools that a model may call, as the caller gives them.
#pragma once

#include "json.h"

#include <string>
#include <utility>
#include <vector>

namespace gpt4all {

struct Tool {
    std::string name;
    common_json shown;           // as the template gets it
    std::string grammar;         // of all arguments
    bool has_properties = false; // each on its own
    // Their names and grammars, as the schema orders them; an empty grammar for any text.
    std::vector<std::pair<std::string, std::string>> properties;
};

struct ToolChoice {
    std::vector<Tool> tools; // all that the model is shown
    std::string only;        // the one that may be called, where it is named
    bool none = false;
    bool required = false;
    bool parallel = true;

    // Those that may be called.
    std::vector<const Tool *> callable() const;
};

// Throws GPT4ALL_ERROR_INVALID_ARGUMENT with what is wrong.
ToolChoice read_tools(const char *tools_json);

// As templates take them.
common_json shown_tools(const std::vector<Tool> &tools);

// What the engine's formats need to know: names and kinds of parameters. All
// else about values is in the grammars.
common_json plain_tools(const std::vector<const Tool *> &tools);

// The conversation for a template that knows no tools, or none in a form that
// can be held to their schemas.
common_json without_tool_messages(const common_json &messages, const ToolChoice &choice);

} // namespace gpt4all

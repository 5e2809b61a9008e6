#include "chat/tools.h"

#include "base/guard.h"
#include "chat/messages.h"

#include <algorithm>
#include <set>

namespace gpt4all {
namespace {

constexpr std::size_t MAX_NAME = 64;

bool is_name(const std::string &text) {
    return !text.empty() && text.size() <= MAX_NAME && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == '.';
    });
}

std::string text_at(const common_json &object, const std::string &key, const std::string &where) {
    if (!object.contains(key) || !object.at(key).is_string()) invalid_argument(where + " has no text '" + key + "'");
    return object.at(key).get<std::string>();
}

// Whether all that must be there is among the properties.
bool declares_required(const common_json &function, const common_json &properties) {
    if (!function.contains("parameters") || !function.at("parameters").is_object()) return true;
    const common_json &parameters = function.at("parameters");
    if (!parameters.contains("required") || !parameters.at("required").is_array()) return true;
    const common_json &required = parameters.at("required");
    return std::all_of(required.begin(), required.end(), [&](const common_json &name) {
        return name.is_string() && properties.contains(name.get<std::string>());
    });
}

void read_properties(const common_json &properties, Tool &tool, const std::string &where) {
    if (!properties.is_object()) invalid_argument(where + ": properties is no object");
    tool.has_properties = declares_required(tool.shown.at("function"), properties);
    for (auto it = properties.begin(); it != properties.end(); ++it) {
        if (!it.value().is_string()) invalid_argument(where + ": properties are texts");
        const std::string grammar = it.value().get<std::string>();
        tool.properties.emplace_back(it.key(), grammar == "text" ? "" : grammar);
    }
}

Tool read_tool(const common_json &json, const std::string &where) {
    if (!json.is_object() || !json.contains("function") || !json.at("function").is_object()) {
        invalid_argument(where + " has no function");
    }
    Tool tool;
    const common_json &function = json.at("function");
    tool.name = text_at(function, "name", where);
    if (!is_name(tool.name)) {
        invalid_argument(where + ": the name must be 1 to 64 letters, digits, '_', '-' and '.'");
    }
    tool.grammar = text_at(json, "grammar", where);
    tool.shown = common_json{{"type", "function"}, {"function", function}};
    if (json.contains("properties")) read_properties(json.at("properties"), tool, where);
    return tool;
}

void read_choice(const common_json &choice, ToolChoice &out) {
    if (choice.is_object()) {
        out.only = text_at(choice, "name", "choice");
        const auto is_it = [&](const Tool &tool) { return tool.name == out.only; };
        if (std::none_of(out.tools.begin(), out.tools.end(), is_it)) {
            invalid_argument("choice names a tool that is not there");
        }
        out.required = true;
        return;
    }
    const std::string word = choice.is_string() ? choice.get<std::string>() : "";
    out.none = word == "none";
    out.required = word == "required";
    if (!out.none && !out.required && word != "auto") {
        invalid_argument("choice is 'auto', 'none', 'required' or an object with a name");
    }
}

common_json as_message(const std::string &role, const std::string &text) {
    return common_json{{"role", role}, {"content", text}};
}

std::string text_of(const common_json &message) {
    if (!message.contains("content")) return "";
    const common_json &content = message.at("content");
    if (content.is_string()) return content.get<std::string>();
    std::string text;
    if (!content.is_array()) return text;
    for (const common_json &part : content) {
        if (part.is_object() && part.contains("text") && part.at("text").is_string()) {
            text += (text.empty() ? "" : "\n") + part.at("text").get<std::string>();
        }
    }
    return text;
}

std::string written_call(const common_json &call) {
    if (!call.is_object() || !call.contains("function") || !call.at("function").is_object()) return "";
    const common_json &function = call.at("function");
    const std::string name = function.contains("name") ? function.at("name").dump() : "\"\"";
    std::string arguments = "{}";
    if (function.contains("arguments")) {
        const common_json &given = function.at("arguments");
        arguments = given.is_string() ? given.get<std::string>() : given.dump();
    }
    return "<tool_call>\n{\"name\": " + name + ", \"arguments\": " + arguments + "}\n</tool_call>";
}

std::string description(const ToolChoice &choice) {
    std::string text = "You may call these functions, given as JSON Schemas:\n<tools>\n";
    for (const Tool &tool : choice.tools) text += tool.shown.at("function").dump() + "\n";
    text += "</tools>\nTo call one, write its name and arguments as JSON, like this:\n"
            "<tool_call>\n{\"name\": \"the_name\", \"arguments\": {\"the_parameter\": \"its value\"}}\n</tool_call>\n";
    return text + (choice.required ? "Call a function now." : "Its result comes back to you; then answer the user.");
}

} // namespace

std::vector<const Tool *> ToolChoice::callable() const {
    std::vector<const Tool *> out;
    for (const Tool &tool : tools) {
        if (!none && (only.empty() || only == tool.name)) out.push_back(&tool);
    }
    return out;
}

ToolChoice read_tools(const char *tools_json) {
    const common_json json = parse_json(tools_json, "tools_json");
    if (!json.is_object()) invalid_argument("tools_json is no object");
    ToolChoice out;
    std::set<std::string> names;
    if (json.contains("tools")) {
        if (!json.at("tools").is_array()) invalid_argument("tools_json: tools is no list");
        for (const common_json &tool : json.at("tools")) {
            const std::string where = "tools_json: tools[" + std::to_string(out.tools.size()) + "]";
            out.tools.push_back(read_tool(tool, where));
            if (!names.insert(out.tools.back().name).second) invalid_argument(where + " has the name of another");
        }
    }
    if (json.contains("choice")) read_choice(json.at("choice"), out);
    if (json.contains("parallel")) {
        if (!json.at("parallel").is_boolean()) invalid_argument("tools_json: parallel is true or false");
        out.parallel = json.at("parallel").get<bool>();
    }
    if (out.tools.empty() && !out.none) invalid_argument("tools_json has no tools, and choice is not 'none'");
    return out;
}

common_json shown_tools(const std::vector<Tool> &tools) {
    common_json list = common_json::array();
    for (const Tool &tool : tools) list.push_back(tool.shown);
    return list;
}

common_json plain_tools(const std::vector<const Tool *> &tools) {
    common_json list = common_json::array();
    for (const Tool *tool : tools) {
        common_json properties = common_json::object();
        common_json required = common_json::array();
        const common_json &function = tool->shown.at("function");
        for (const auto &[name, grammar] : tool->properties) {
            properties[name] = common_json{{"type", grammar.empty() ? "string" : "object"}};
        }
        if (tool->has_properties && function.contains("parameters") && function.at("parameters").is_object() &&
            function.at("parameters").contains("required")) {
            required = function.at("parameters").at("required");
        }
        common_json parameters{{"type", "object"}, {"properties", properties}, {"required", required}};
        list.push_back(common_json{{"type", "function"},
                                   {"function", common_json{{"name", tool->name}, {"parameters", parameters}}}});
    }
    return list;
}

common_json without_tool_messages(const common_json &messages, const ToolChoice &choice) {
    common_json out = common_json::array();
    std::string system = choice.none || choice.tools.empty() ? "" : description(choice);
    bool answers = false; // the last message holds results
    for (const common_json &message : messages) {
        const std::string role = message.at("role").get<std::string>();
        std::string text = text_of(message);
        if ((role == "system" || role == "developer") && out.empty() && !system.empty()) {
            out.push_back(as_message(role, text.empty() ? system : text + "\n\n" + system));
            system.clear();
            continue;
        }
        if (out.empty() && !system.empty()) {
            out.push_back(as_message("system", system));
            system.clear();
        }
        if (role == "tool") {
            text = "<tool_response>\n" + text + "\n</tool_response>";
            if (answers) {
                out.back()["content"] = out.back().at("content").get<std::string>() + "\n" + text;
            } else {
                out.push_back(as_message("user", text));
            }
            answers = true;
            continue;
        }
        answers = false;
        common_json copy = message;
        if (message.contains("tool_calls")) {
            for (const common_json &call : message.at("tool_calls"))
                text += (text.empty() ? "" : "\n") + written_call(call);
            copy.erase(std::string("tool_calls"));
            copy["content"] = text;
        }
        out.push_back(copy);
    }
    return out;
}

} // namespace gpt4all

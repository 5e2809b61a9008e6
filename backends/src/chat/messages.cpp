#include "chat/messages.h"

#include "base/guard.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gpt4all {
namespace {

constexpr std::size_t MAX_DEPTH = 64;
constexpr std::size_t MAX_JSON = 256 * 1024 * 1024;

// Conversions recurse, so this comes first.
void check_depth(const char *text, std::size_t length, const char *name) {
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < length; i++) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > MAX_DEPTH) invalid_argument(std::string(name) + " is nested too deeply");
        } else if (c == ']' || c == '}') {
            depth -= depth > 0 ? 1 : 0;
        }
    }
}

// As a template's own trim does.
std::string trimmed(const std::string &text) { return jinja::string(text).strip(true, true).str(); }

bool is_text_part(const common_json &part) {
    return part.is_object() && part.contains("text") && part.at("text").is_string() &&
           (!part.contains("type") || part.at("type") == "text");
}

// The texts of a content in parts, a line each.
std::string joined_parts(const common_json &parts) {
    std::string text;
    for (const common_json &part : parts) {
        if (!is_text_part(part)) continue;
        if (!text.empty()) text += '\n';
        text += part.at("text").get<std::string>();
    }
    return text;
}

std::string content_text(const common_json &message) {
    const common_json &content = message.at("content");
    return content.is_string() ? content.get<std::string>() : content.is_array() ? joined_parts(content) : "";
}

void trim_content(common_json &content) {
    if (content.is_string()) content = trimmed(content.get<std::string>());
    if (!content.is_array()) return;
    for (common_json &part : content) {
        if (is_text_part(part)) part["text"] = trimmed(part.at("text").get<std::string>());
    }
}

// Calls of tools with their arguments as objects where the template walks through them.
void parse_arguments(common_json &message) {
    if (!message.contains("tool_calls") || !message.at("tool_calls").is_array()) return;
    for (common_json &call : message.at("tool_calls")) {
        if (!call.is_object() || !call.contains("function") || !call.at("function").is_object()) continue;
        common_json &function = call.at("function");
        if (!function.contains("arguments") || !function.at("arguments").is_string()) continue;
        const std::string text = function.at("arguments").get<std::string>();
        function["arguments"] = parse_json(text.c_str(), "a tool call's arguments");
    }
}

// Thinking that led to calls is the template's to keep or drop, under the name that it has for it: a model goes on from
// there. That of answers is not fed back.
void fit_thinking(common_json &message, const std::string &source) {
    std::string thinking;
    for (const char *key : {"reasoning_content", "reasoning", "thinking"}) {
        if (!message.contains(key)) continue;
        if (thinking.empty() && message.at(key).is_string()) thinking = message.at(key).get<std::string>();
        message.erase(std::string(key));
    }
    if (thinking.empty() || !message.contains("tool_calls")) return;
    // gpt-oss takes one of both.
    if (source.find("<|channel|>") != std::string::npos && message.at("content") != "") return;
    for (const char *key : {"reasoning_content", "thinking", "reasoning"}) {
        const std::string name(key);
        if (source.find("." + name) == std::string::npos && source.find("'" + name + "'") == std::string::npos &&
            source.find('"' + name + '"') == std::string::npos)
            continue;
        message[name] = thinking;
        return;
    }
}

// As Mistral's templates want the ids of calls: nine letters and digits, the same for the same id.
std::string nine_characters(const std::string &id) {
    const auto is_plain = [](unsigned char c) { return c < 0x80 && std::isalnum(c); };
    if (id.size() == 9 && std::all_of(id.begin(), id.end(), is_plain)) return id;
    std::uint64_t hash = 14695981039346656037ULL; // FNV-1a
    for (const unsigned char c : id) hash = (hash ^ c) * 1099511628211ULL;
    std::string made;
    while (made.size() < 9) {
        made += "0123456789abcdefghijklmnopqrstuvwxyz"[hash % 36];
        hash /= 36;
    }
    return made;
}

std::string id_in(const common_json &holder, const char *key, std::size_t n) {
    const bool has_one = holder.contains(key) && holder.at(key).is_string() && !(holder.at(key) == "");
    return nine_characters(has_one ? holder.at(key).get<std::string>() : "#" + std::to_string(n));
}

// Calls of other models, or without an id: results are then those of the calls in their order.
void fit_ids(common_json &messages) {
    std::size_t calls = 0;
    std::size_t results = 0;
    for (common_json &message : messages) {
        if (message.at("role") == "tool") {
            const std::string id = id_in(message, "tool_call_id", results++);
            message["tool_call_id"] = id;
        }
        if (!message.contains("tool_calls") || !message.at("tool_calls").is_array()) continue;
        for (common_json &call : message.at("tool_calls")) {
            if (!call.is_object()) continue;
            const std::string id = id_in(call, "id", calls++);
            call["id"] = id;
        }
    }
}

// Content in the one form, text or parts, that the template takes.
void fit_content(common_json &content, const jinja::caps &caps) {
    if (content.is_string() && !caps.supports_string_content && caps.supports_typed_content) {
        const std::string text = content.get<std::string>();
        content = common_json::array({common_json{{"type", "text"}, {"text", text}}});
    } else if (content.is_array() && caps.supports_string_content && !caps.supports_typed_content) {
        content = joined_parts(content);
    }
}

// What a template without a system role gets: the text in front of the first message.
void merge_system(common_json &messages) {
    if (messages.empty() || !(messages.at(0).at("role") == "system")) return;
    const std::string system = content_text(messages.at(0));
    messages.erase(std::size_t{0});
    if (messages.empty()) return;
    common_json &first = messages.at(0);
    if (!system.empty()) first["content"] = system + "\n" + content_text(first);
}

bool is_plain_word(const std::string &text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char c) {
        return (c < 0x80 && std::isalnum(c)) || c == '_' || c == '-' || c == ' ';
    });
}

} // namespace

common_json parse_json(const char *text, const char *name) {
    const std::size_t length = std::strlen(text);
    if (length > MAX_JSON) invalid_argument(std::string(name) + " is longer than 256 MiB");
    check_depth(text, length, name);
    try {
        return common_json::parse(std::string(text, length));
    } catch (const common_json_error &error) {
        invalid_argument(std::string(name) + " is no JSON: " + error.what());
    }
}

void check_messages(const common_json &messages) {
    if (!messages.is_array()) invalid_argument("messages_json is no list");
    std::size_t n = 0;
    for (const common_json &message : messages) {
        const std::string name = "messages_json[" + std::to_string(n++) + "]";
        if (!message.is_object()) invalid_argument(name + " is no object");
        if (!message.contains("role") || !message.at("role").is_string()) invalid_argument(name + " has no role");
        if (!message.contains("content")) continue;
        const common_json &content = message.at("content");
        if (!content.is_string() && !content.is_array() && !content.is_null()) {
            invalid_argument(name + " has a content that is neither text nor a list of parts");
        }
    }
}

common_json prepare_messages(common_json messages, const jinja::caps &caps, const std::string &source) {
    // gpt-oss tells developer messages from system messages.
    const bool knows_developer = source.find("<|channel|>") != std::string::npos;
    // StepFun's models think in circles after stray whitespace.
    const bool trims =
        source.find("You have access to the following functions in JSONSchema format") != std::string::npos;
    for (common_json &message : messages) {
        if (!knows_developer && message.at("role") == "developer") message["role"] = "system";
        if (!message.contains("content") || message.at("content").is_null()) message["content"] = "";
        fit_thinking(message, source);
        if (trims) trim_content(message.at("content"));
        if (caps.supports_object_arguments) parse_arguments(message);
    }
    if (source.find("!= 9") != std::string::npos) fit_ids(messages);
    if (!caps.supports_system_role) merge_system(messages);
    for (common_json &message : messages) fit_content(message.at("content"), caps);
    return messages;
}

jinja::value input_value(const common_json &json) {
    using namespace jinja;
    if (json.is_null()) return mk_val<value_none>();
    if (json.is_boolean()) return mk_val<value_bool>(json.get<bool>());
    if (json.is_number_integer()) return mk_val<value_int>(json.get<int64_t>());
    if (json.is_number()) return mk_val<value_float>(json.get<double>());
    if (json.is_string()) return mk_val<value_string>(string(json.get<std::string>(), true));
    if (json.is_array()) {
        auto array = mk_val<value_array>();
        for (const common_json &item : json) array->push_back(input_value(item));
        return array;
    }
    auto object = mk_val<value_object>();
    for (auto it = json.begin(); it != json.end(); ++it) {
        object->insert(mk_val<value_string>(string(it.key(), true)), input_value(it.value()));
    }
    return object;
}

jinja::value messages_value(const common_json &messages) {
    jinja::value list = input_value(messages);
    for (jinja::value &message : list->val_arr) {
        const std::string role = message->at("role")->val_str.str();
        if (is_plain_word(role))
            message->insert(jinja::mk_val<jinja::value_string>("role"), jinja::mk_val<jinja::value_string>(role));
    }
    return list;
}

} // namespace gpt4all

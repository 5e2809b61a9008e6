#include "answer_text.h"

#include <string>
#include <string_view>

namespace {

constexpr std::string_view OPEN = "<tool_call>", CLOSE = "</tool_call>", THINK = "<think>", THOUGHT = "</think>";

std::string quoted(std::string_view text) {
    static const char digits[] = "0123456789abcdef";
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20) {
            out += "\\u00";
            out += digits[byte >> 4];
            out += digits[byte & 15];
        } else {
            out += c;
        }
    }
    return out + "\"";
}

// Without an end that may turn out to be the beginning of `mark`.
std::string_view without_beginning(std::string_view text, std::string_view mark) {
    for (std::size_t n = mark.size() - 1; n > 0; n--) {
        if (text.size() >= n && text.substr(text.size() - n) == mark.substr(0, n))
            return text.substr(0, text.size() - n);
    }
    return text;
}

// Where the JSON string or object that begins there ends, or npos.
std::size_t end_of_value(std::string_view text, std::size_t at) {
    int depth = 0;
    bool in_string = false;
    for (; at < text.size(); at++) {
        const char c = text[at];
        if (in_string) {
            if (c == '\\') at++;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{') {
            depth++;
        } else if (c == '}') {
            depth--;
        }
        if (depth == 0 && !in_string) return at + 1;
    }
    return std::string_view::npos;
}

// The value of a key of the call's object, as it is written.
std::string_view value_of(std::string_view call, std::string_view key) {
    std::size_t at = call.find(key);
    if (at == std::string_view::npos) return {};
    at = call.find_first_not_of(" \t\r\n:", at + key.size());
    if (at == std::string_view::npos) return {};
    const std::size_t end = end_of_value(call, at);
    return call.substr(at, end == std::string_view::npos ? end : end - at);
}

struct Answer {
    std::string calls;
    bool complete = true;
};

Answer read_calls(std::string_view text) {
    Answer answer;
    for (std::size_t at = text.find(OPEN); at != std::string_view::npos; at = text.find(OPEN, at)) {
        at += OPEN.size();
        const std::size_t close = text.find(CLOSE, at);
        const std::string_view call = text.substr(at, close == std::string_view::npos ? close : close - at);
        const std::string_view name = value_of(call, "\"name\""), arguments = value_of(call, "\"arguments\"");
        const bool whole = !arguments.empty() && end_of_value(arguments, 0) == arguments.size();
        answer.complete = answer.complete && whole && close != std::string_view::npos;
        if (name.size() < 2 || name.back() != '"') continue;
        answer.calls += answer.calls.empty() ? "" : ",";
        answer.calls += "{\"id\":\"\",\"name\":" + std::string(name) + ",\"arguments\":" + quoted(arguments) +
                        ",\"complete\":" + (whole ? "true" : "false") + "}";
    }
    return answer;
}

std::string read(std::string_view text, bool thinks, bool is_partial) {
    std::string_view reasoning;
    const std::size_t begin = thinks                                  ? 0
                              : text.substr(0, THINK.size()) == THINK ? THINK.size()
                                                                      : std::string_view::npos;
    if (begin != std::string_view::npos) {
        const std::size_t end = text.find(THOUGHT, begin);
        reasoning = end == std::string_view::npos ? without_beginning(text.substr(begin), THOUGHT)
                                                  : text.substr(begin, end - begin);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + THOUGHT.size());
    }
    const std::size_t call = text.find(OPEN);
    std::string_view content = text.substr(0, call);
    if (call == std::string_view::npos && is_partial) content = without_beginning(content, OPEN);
    const Answer answer = read_calls(text);
    return "{\"content\":" + quoted(content) + ",\"reasoning_content\":" + quoted(reasoning) + ",\"tool_calls\":[" +
           answer.calls + "],\"complete\":" + (answer.complete && !is_partial ? "true" : "false") + "}";
}

} // namespace

void tell_answer(const char *text, int64_t length, int32_t thinks, int32_t is_partial, gpt4all_part_callback callback,
                 void *payload) {
    const std::string_view view(length > 0 ? text : "", static_cast<std::size_t>(length));
    const std::string json = read(view, thinks != 0, is_partial != 0);
    callback(json.data(), static_cast<int64_t>(json.size()), 0, payload);
}

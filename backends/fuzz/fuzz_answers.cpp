// Answers of models, in the forms of the templates of $GPT4ALL_FUZZ_TEMPLATES:
// any text has a reading, and what a growing text says only grows.
//
// Input: which template, whether calls are required, two bytes that say where
// to cut, and the answer.
#include "fuzz.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace {

const char *const TOOLS =
    R"("parallel":true,"tools":[)"
    R"({"function":{"name":"count","parameters":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}},)"
    R"("grammar":"root ::= \"{\" [ ]? \"\\\"n\\\":\" [ ]? n [ ]? \"}\"\nn ::= [0-9]+","properties":{"n":"root ::= [0-9]+"}},)"
    R"({"function":{"name":"python","parameters":{"type":"object","properties":{"code":{"type":"string"},"deep":{}},"required":["code"]}},)"
    R"("grammar":"root ::= \"{\\\"code\\\":\" s \"}\"\ns ::= \"\\\"\" [a-z]* \"\\\"\"",)"
    R"("properties":{"code":"text","deep":"root ::= \"[\" root? \"]\""}}])";

struct Reading {
    std::string content, thinking; // as JSON has them
    std::string text;
};

std::string string_at(const std::string &json, const std::string &key) {
    const std::string begin = "\"" + key + "\":\"";
    const std::size_t start = json.find(begin);
    fuzz::expect(start != std::string::npos, "a reading without " + key);
    std::size_t end = start + begin.size();
    while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
    return json.substr(start + begin.size(), end - start - begin.size());
}

int32_t take(const char *text, int64_t length, int32_t, void *payload) {
    static_cast<std::string *>(payload)->assign(text, static_cast<std::size_t>(length));
    return 0;
}

int32_t ignore(const char *, int64_t, int32_t, void *) { return 0; }

Reading read(const gpt4all_chat *chat, const std::string &answer, int32_t is_partial) {
    Reading reading;
    // A buffer of just that size, behind which the sanitizer stands guard.
    const std::vector<char> exact(answer.begin(), answer.end());
    const gpt4all_status status = gpt4all_chat_parse(chat, exact.data(), static_cast<int64_t>(exact.size()), is_partial,
                                                     nullptr, take, &reading.text);
    fuzz::expect_status(status, {GPT4ALL_OK}, "gpt4all_chat_parse");
    fuzz::expect(fuzz::is_valid_utf8(reading.text), "a reading is UTF-8");
    reading.content = string_at(reading.text, "content");
    reading.thinking = string_at(reading.text, "reasoning_content");
    return reading;
}

void expect_growth(const std::string &before, const std::string &after, const char *what) {
    fuzz::expect(after.compare(0, before.size(), before) == 0,
                 std::string(what) + " was told and then taken back: " + before + "\nthen: " + after);
}

std::vector<std::string> templates() {
    const char *directory = std::getenv("GPT4ALL_FUZZ_TEMPLATES");
    fuzz::expect(directory != nullptr, "GPT4ALL_FUZZ_TEMPLATES does not say where the templates are");
    std::vector<std::filesystem::path> paths;
    for (const auto &entry : std::filesystem::directory_iterator(directory)) {
        if (entry.path().extension() == ".jinja") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    std::vector<std::string> sources;
    for (const auto &path : paths) {
        std::ostringstream text;
        text << std::ifstream(path, std::ios::binary).rdbuf();
        sources.push_back(text.str());
    }
    fuzz::expect(!sources.empty(), "there are no templates");
    return sources;
}

const gpt4all_chat *chat(std::size_t choice, bool required) {
    // Never destroyed, so that the chats are no leaks at exit.
    static const auto &sources = *new std::vector<std::string>(templates());
    static auto &prepared = *new std::map<std::pair<std::size_t, bool>, gpt4all_chat *>;
    choice %= sources.size();
    gpt4all_chat *&found = prepared[{choice, required}];
    if (found != nullptr) return found;
    const std::string tools = std::string("{\"choice\":\"") + (required ? "required" : "auto") + "\"," + TOOLS + "}";
    fuzz::expect_status(gpt4all_chat_prepare(fuzz::model("tiny-llama", 16), sources[choice].c_str(),
                                             R"([{"role":"user","content":"x"}])", tools.c_str(), nullptr, nullptr,
                                             ignore, nullptr, &found),
                        {GPT4ALL_OK}, "gpt4all_chat_prepare");
    return found;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, std::size_t size) {
    fuzz::Input input(data, size);
    const std::size_t choice = input.byte();
    const bool required = (input.byte() & 1) != 0;
    const std::size_t high = input.byte(), low = input.byte();
    std::string answer;
    while (!input.done()) answer += static_cast<char>(input.byte());
    const gpt4all_chat *prepared = chat(choice, required);
    const std::size_t cut = answer.empty() ? 0 : (high * 256 + low) % (answer.size() + 1);
    const Reading begun = read(prepared, answer.substr(0, cut), 1), grown = read(prepared, answer, 1);
    expect_growth(begun.content, grown.content, "content");
    expect_growth(begun.thinking, grown.thinking, "thinking");
    read(prepared, answer, 0);
    return 0;
}
